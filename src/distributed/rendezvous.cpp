#include "rendezvous.h"

#include <poll.h>

#include <numeric>
#include <sstream>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "pixart/base/env.h"
#include "pixart/base/words.h"
#include "pixart/distributed/phase.h"
#include "store_server.h"

namespace pixart::distributed {

namespace {

using StorePointer = c10::intrusive_ptr<c10d::TCPStore>;

constexpr const char* kPhase = "meeting the other ranks";

std::vector<uint8_t> bytes_of_text(const std::string& text) { return {text.begin(), text.end()}; }

std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

c10d::TCPStoreOptions store_options(int port, bool is_server, double seconds) {
  c10d::TCPStoreOptions options;
  options.port = uint16_t(port);
  options.isServer = is_server;
  options.waitWorkers = false;
  options.timeout = std::chrono::milliseconds(int64_t(seconds * 1000) + 1000);
  return options;
}

// LibTorch's messages carry a backtrace after the first line.
std::string first_line(const char* what) { return std::string(what).substr(0, std::string(what).find('\n')); }

StorePointer open_store(const Launch& launch, double deadline) {
  const Address master{launch.master_address, launch.master_port};
  const bool is_server = launch.rank == 0 && !launch.store_is_served;
  // Waits here, where waiting can be interrupted and explained; the store's own wait can do neither.
  if (!is_server) connect_until(master, deadline, launch.store_is_served ? "the launcher" : "rank 0");
  try {
    return c10::make_intrusive<c10d::TCPStore>(
        launch.master_address, store_options(launch.master_port, is_server, deadline - monotonic_seconds()));
  } catch (const std::exception& error) {
    const char* hint = is_server
                           ? "Does another run use this port? Set MASTER_PORT to another number on all ranks."
                           : "Is something else listening there?";
    throw UserError(
        fmt::format("the ranks cannot meet at {}: {}. {}", to_string(master), first_line(error.what()), hint),
        ExitCode::kDevice);
  }
}

// The record of a rank: "<world size> <port> <host>".
struct Card {
  int world_size = 0;
  Address address;
};

std::string to_text(const Card& card) {
  return fmt::format("{} {} {}", card.world_size, card.address.port, card.address.host);
}

Card read_card(const std::string& text) {
  Card card;
  std::istringstream stream(text);
  if (!(stream >> card.world_size >> card.address.port >> card.address.host))
    throw UserError(fmt::format("a rank has the record '{}'; do all ranks run the same pixart?", text));
  return card;
}

std::string key(const Launch& launch, const std::string& name) {
  return fmt::format("pixart/{}/{}", launch.attempt, name);
}

std::string key(const Launch& launch, int rank) { return key(launch, "rank/" + std::to_string(rank)); }

constexpr double kLeaveSeconds = 2;  // in which the others read why rank 0, which serves the store, gives up

void leave(c10d::Store& store, const Launch& launch, int64_t present) {
  store.add(key(launch, "left"), 1);
  if (launch.rank != 0) return;
  const double deadline = monotonic_seconds() + kLeaveSeconds;
  while (store.add(key(launch, "left"), 0) < present && monotonic_seconds() < deadline)
    ::poll(nullptr, 0, 10);
}

// Throws on all waiting ranks: the first writes the cause into the store, the others repeat it.
[[noreturn]] void fail_together(c10d::Store& store, const Launch& launch, const std::string& message,
                                int64_t present) {
  store.set(key(launch, "failed"), bytes_of_text(message));
  leave(store, launch, present);
  throw UserError(message, ExitCode::kDevice);
}

// "complete" if all ranks have come, "stopped" if the run was asked to stop before. The first entry in the
// store is valid for all ranks.
std::string outcome(c10d::Store& store, const Launch& launch, bool all_are_here) {
  const std::string name = key(launch, "outcome");
  if (all_are_here) return text_of(store.compareSet(name, {}, bytes_of_text("complete")));
  if (stop_requested()) return text_of(store.compareSet(name, {}, bytes_of_text("stopped")));
  return store.check({name}) ? text_of(store.get(name)) : "";
}

void wait_for_all(c10d::Store& store, const Launch& launch, double deadline) {
  double pause = 0.002;
  std::vector<int> missing(size_t(launch.world_size));
  std::iota(missing.begin(), missing.end(), 0);
  for (;;) {
    std::erase_if(missing, [&](int r) { return store.check({key(launch, r)}); });
    const int64_t present = launch.world_size - int64_t(missing.size());
    const std::string how = outcome(store, launch, missing.empty());
    if (missing.empty() && how == "complete") return;
    if (how == "stopped") {
      leave(store, launch, present);
      throw UserError("stopped on request while waiting for the other ranks", ExitCode::kRequeue);
    }
    if (store.check({key(launch, "failed")}))
      fail_together(store, launch, text_of(store.get(key(launch, "failed"))), present);
    if (monotonic_seconds() > deadline) {
      std::vector<std::string> names;
      for (int r : missing) names.push_back(std::to_string(r));
      fail_together(
          store, launch,
          fmt::format(
              "{} of {} ranks did not come to {}:{} in time: {}. See their logs; did all machines start?",
              missing.size(), launch.world_size, launch.master_address, launch.master_port, name_some(names)),
          present);
    }
    ::poll(nullptr, 0, int(pause * 1000));
    pause = std::min(0.1, pause * 1.5);
  }
}

std::vector<Address> exchange_addresses(c10d::Store& store, const Launch& launch, const Address& own,
                                        double deadline) {
  if (store.add(key(launch, fmt::format("taken/{}", launch.rank)), 1) != 1)
    throw UserError(
        fmt::format("two processes say that they are rank {} at {}:{}. Does another run use this port? Set "
                    "MASTER_PORT to another number on all ranks.",
                    launch.rank, launch.master_address, launch.master_port));
  store.set(key(launch, launch.rank), bytes_of_text(to_text({launch.world_size, own})));
  wait_for_all(store, launch, deadline);
  std::vector<Address> addresses;
  for (int r = 0; r < launch.world_size; ++r) {
    const Card card = read_card(text_of(store.get(key(launch, r))));
    if (card.world_size != launch.world_size)
      fail_together(
          store, launch,
          fmt::format("rank {} counts {} ranks, rank {} counts {}: were they started by the same command?", r,
                      card.world_size, launch.rank, launch.world_size),
          launch.world_size);
    addresses.push_back(card.address);
  }
  return addresses;
}

// A number that only the ranks of this run share.
uint64_t agree_on_token(c10d::Store& store, const Launch& launch) {
  const std::string name = key(launch, "token");
  if (launch.rank == 0) {
    const auto now = uint64_t(monotonic_seconds() * 1e9);
    store.set(name, bytes_of_text(std::to_string((now * 0x9E3779B97F4A7C15u) ^ uint64_t(process_id()))));
  }
  return std::stoull(text_of(store.get(name)));
}

}  // namespace

std::shared_ptr<void> serve_store(int descriptor, int port) {
  auto options = store_options(port, true, 300);
  options.masterListenFd = descriptor;
  auto store = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
  return std::make_shared<StorePointer>(std::move(store));
}

std::unique_ptr<Mesh> meet(const Launch& launch, const CommunicatorOptions& options) {
  enter_phase(kPhase);
  const double deadline = monotonic_seconds() + options.rendezvous_seconds;
  const auto store = open_store(launch, deadline);
  std::string host = local_address_towards({launch.master_address, launch.master_port});
  const bool one_machine = launch.local_world_size == launch.world_size;
  auto [listener, port] = listen_on(host, !one_machine);
  // On the master's own machine its name may resolve to the loopback; the other machines connect by the name.
  if (is_loopback(host) && !one_machine) host = launch.master_address;
  std::unique_ptr<Mesh> mesh;
  try {
    const auto addresses = exchange_addresses(*store, launch, {host, port}, deadline);
    const uint64_t token = agree_on_token(*store, launch);
    mesh = std::make_unique<Mesh>(launch.rank, connect_all(launch.rank, addresses, token, listener, deadline),
                                  options.timeout_seconds);
  } catch (const c10::Error& error) {
    throw UserError(fmt::format("the ranks cannot meet at {}:{}: {}", launch.master_address,
                                launch.master_port, first_line(error.what())),
                    ExitCode::kDevice);
  }
  // After all ranks have come here, nobody needs the store; rank 0 may then end it.
  mesh->exchange({.name = "barrier", .phase = kPhase}, std::vector<Part>(size_t(launch.world_size)));
  return mesh;
}

}  // namespace pixart::distributed
