#include "handshake.h"

#include <poll.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/secret.h"

namespace pixart::distributed {

namespace {

constexpr double kNextTrySeconds = 0.05;
constexpr double kLookSeconds = 0.2, kStopSeconds = 10;
constexpr double kRefusedSeconds = 10;  // for another run that is about to leave the port

enum class Reception { kWelcome, kLeft, kRefused };

// The other side may still be loading its libraries. A rank that is asked to stop does not wait long for it.
bool wait_for_answer(const Socket& socket, double deadline) {
  bool is_asked = false;
  while (!wait_to_read(socket, std::min(deadline, monotonic_seconds() + kLookSeconds))) {
    if (stop_requested() && !std::exchange(is_asked, true))
      deadline = std::min(deadline, monotonic_seconds() + kStopSeconds);
    if (monotonic_seconds() >= deadline) return false;
  }
  return true;
}

Reception introduce(const Socket& socket, Introduction& own, const std::string& key, double deadline) {
  const std::string nonce = random_bytes(sizeof own.nonce);
  std::memcpy(own.nonce, nonce.data(), sizeof own.nonce);
  std::string challenge(kNonceBytes, '\0'), answer(kProofBytes, '\0');
  if (!write_until(socket, &own, sizeof own, deadline) || !wait_for_answer(socket, deadline) ||
      !read_until(socket, challenge.data(), challenge.size(), deadline))
    return Reception::kLeft;
  const std::string proof = prove(Side::kGuest, key, own, challenge);
  if (!write_until(socket, proof.data(), proof.size(), deadline)) return Reception::kLeft;
  const bool is_welcome = read_until(socket, answer.data(), answer.size(), deadline) &&
                          equal_secrets(answer, prove(Side::kHost, key, own, challenge));
  return is_welcome ? Reception::kWelcome : Reception::kRefused;
}

[[noreturn]] void throw_unanswered(const Introduction& own, int to, const Address& address, bool is_refused) {
  const std::string who = fmt::format("rank {} at {}", to, to_string(address));
  if (!is_refused)
    throw UserError(fmt::format("{} does not answer as a rank does. Is something else listening there?", who),
                    ExitCode::kDevice);
  throw UserError(
      fmt::format("{} does not have the run token of rank {}. Is PIXART_RUN_TOKEN the same on all ranks, or "
                  "does another run use this port? Then set MASTER_PORT to another number on all ranks.",
                  who, own.rank),
      ExitCode::kDevice);
}

// A rank that refused before may be gone meanwhile; the refusal is the reason that helps.
Socket connect_again(const Introduction& own, int to, const Address& address, double deadline,
                     bool is_refused) {
  try {
    return connect_until(address, deadline, fmt::format("rank {}", to));
  } catch (const UserError& error) {
    if (!is_refused || error.code() == ExitCode::kRequeue) throw;
    throw_unanswered(own, to, address, is_refused);
  }
}

}  // namespace

std::string prove(Side side, const std::string& key, const Introduction& guest, const std::string& nonce) {
  std::string message = side == Side::kGuest ? "guest" : "host ";
  message.append(reinterpret_cast<const char*>(&guest), sizeof guest);
  return hmac_sha256(key, message + nonce);
}

Introduction introduction_of(const Launch& launch, Purpose purpose, const Address& own) {
  Introduction introduction;
  introduction.purpose = purpose;
  introduction.rank = uint32_t(launch.rank);
  introduction.world_size = uint32_t(launch.world_size);
  introduction.port = uint32_t(own.port);
  PIXART_CHECK(own.host.size() < sizeof introduction.host, "address {}", own.host);
  std::memcpy(introduction.host, own.host.data(), own.host.size());
  return introduction;
}

Address address_of(const Introduction& introduction) {
  return {{introduction.host, ::strnlen(introduction.host, sizeof introduction.host)},
          int(introduction.port)};
}

std::string session_key(const Launch& launch) {
  return hmac_sha256(launch.token, fmt::format("pixart ranks, attempt {}", launch.attempt));
}

Socket connect_as(Introduction own, int to, const Address& address, const std::string& key, double deadline) {
  own.magic = kIntroductionMagic;
  own.to = uint32_t(to);
  bool is_refused = false;
  for (;;) {
    Socket socket = connect_again(own, to, address, deadline, is_refused);
    const Reception reception = introduce(socket, own, key, deadline);
    if (reception == Reception::kWelcome) return socket;
    if (reception == Reception::kRefused && !std::exchange(is_refused, true))
      deadline = std::min(deadline, monotonic_seconds() + kRefusedSeconds);
    if (monotonic_seconds() >= deadline) throw_unanswered(own, to, address, is_refused);
    if (stop_requested() && own.purpose == Purpose::kMeeting)
      throw UserError(fmt::format("stopped on request while connecting to rank {}", to), ExitCode::kRequeue);
    ::poll(nullptr, 0, int(kNextTrySeconds * 1000));
  }
}

Strangers& Strangers::operator+=(const Strangers& more) {
  silent += more.silent;
  foreign += more.foreign;
  unproven += more.unproven;
  return *this;
}

std::string to_string(const Strangers& strangers) {
  return fmt::format(
      "dropped {} connections of strangers: {} said too little, {} said what no rank says, {} did not know the "
      "run token",
      strangers.all(), strangers.silent, strangers.foreign, strangers.unproven);
}

}  // namespace pixart::distributed
