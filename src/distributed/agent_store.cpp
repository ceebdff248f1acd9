#include "agent_store.h"

#include <poll.h>

#include <functional>
#include <sstream>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "pixart/base/env.h"
#include "pixart/base/error.h"

namespace pixart::distributed {

namespace {

constexpr int kLookMilliseconds = 50;

std::vector<uint8_t> bytes_of_text(const std::string& text) { return {text.begin(), text.end()}; }

// LibTorch's messages carry a backtrace after the first line.
std::string first_line(const char* what) { return std::string(what).substr(0, std::string(what).find('\n')); }

[[noreturn]] void stop() {
  throw UserError("stopped on request while waiting for the other ranks", ExitCode::kRequeue);
}

std::string key(const Launch& launch, const std::string& name) {
  return fmt::format("pixart/{}/{}", launch.attempt, name);
}

// Calls work(store).
template <class Work>
auto with_store(const Launch& launch, double deadline, const Work& work) {
  const Address agent{launch.master_address, launch.master_port};
  // Waits here, where waiting can be interrupted and explained; the store's own wait can do neither.
  connect_until(agent, deadline, "torchrun");
  try {
    c10d::TCPStoreOptions options;
    options.port = uint16_t(launch.master_port);
    options.waitWorkers = false;
    options.timeout = std::chrono::milliseconds(int64_t((deadline - monotonic_seconds()) * 1000) + 1000);
    const auto store = c10::make_intrusive<c10d::TCPStore>(launch.master_address, options);
    return work(*store);
  } catch (const UserError&) {
    throw;
  } catch (const std::exception& error) {
    throw UserError(fmt::format("the ranks cannot meet at {}: {}. Is something else listening there?",
                                to_string(agent), first_line(error.what())),
                    ExitCode::kDevice);
  }
}

Address read_note(c10d::Store& store, const std::string& name) {
  const auto bytes = store.get(name);
  const std::string text(bytes.begin(), bytes.end());
  std::istringstream stream(text);
  Address door;
  if (!(stream >> door.host >> door.port))
    throw UserError(
        fmt::format("rank 0 waits at '{}', says torchrun's store; do all ranks run the same pixart?", text),
        ExitCode::kDevice);
  return door;
}

}  // namespace

void announce_meeting(const Launch& launch, const Address& door, double deadline) {
  with_store(launch, deadline, [&](c10d::Store& store) {
    if (store.add(key(launch, "hosts"), 1) != 1)
      throw UserError(
          fmt::format("two processes say that they are rank 0 at {}:{}. Does another run use this "
                      "port? Set MASTER_PORT to another number on all ranks.",
                      launch.master_address, launch.master_port));
    store.set(key(launch, "door"), bytes_of_text(fmt::format("{} {}", door.host, door.port)));
    if (store.check({key(launch, "stopped")})) stop();
  });
}

// A rank that is asked to stop leaves a note too. It looks once more afterwards: rank 0 may have come between,
// and is then told at the meeting.
Address find_meeting(const Launch& launch, double deadline) {
  return with_store(launch, deadline, [&](c10d::Store& store) -> Address {
    const std::string note = key(launch, "door"), stopped = key(launch, "stopped");
    while (!store.check({note})) {
      if (store.check({stopped})) stop();
      if (stop_requested()) {
        store.set(stopped, bytes_of_text("1"));
        if (!store.check({note})) stop();
      }
      if (monotonic_seconds() >= deadline)
        throw UserError(
            fmt::format("rank 0 did not come to {}:{} in time. See its log; did all machines start?",
                        launch.master_address, launch.master_port),
            ExitCode::kDevice);
      ::poll(nullptr, 0, kLookMilliseconds);
    }
    return read_note(store, note);
  });
}

}  // namespace pixart::distributed
