#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "handshake.h"
#include "pixart/base/env.h"
#include "pixart/base/secret.h"

namespace pixart::distributed {

namespace {

constexpr int kAcceptedAtOnce = 32;      // then those are heard who may have spoken meanwhile
constexpr int kBreathMilliseconds = 10;  // when the process has no descriptor left

bool begins_as_introduction(const std::string& heard) {
  const size_t n = std::min(heard.size(), sizeof kIntroductionMagic);
  return std::memcmp(heard.data(), &kIntroductionMagic, n) == 0;
}

bool send_now(const Socket& socket, const std::string& bytes) {
  return ::send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT) ==
         ssize_t(bytes.size());
}

bool is_shortage(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

}  // namespace

Gate::Gate(const Socket& listener, std::string key, int rank, const GateLimits& limits)
    : listener_(listener), key_(std::move(key)), rank_(uint32_t(rank)), limits_(limits) {}

std::vector<Visitor> Gate::wait(double deadline) {
  std::vector<Visitor> came;
  do turn(deadline, came);
  while (came.empty() && monotonic_seconds() < deadline);
  return came;
}

void Gate::turn(double deadline, std::vector<Visitor>& came) {
  std::vector<pollfd> entries = {{listener_.get(), POLLIN, 0}};
  for (const auto& pending : pending_) entries.push_back({pending.socket.get(), POLLIN, 0});
  if (!pending_.empty()) deadline = std::min(deadline, pending_.front().since + limits_.prove_seconds);
  const double left = std::clamp(deadline - monotonic_seconds(), 0.0, 1000.0);
  if (::poll(entries.data(), nfds_t(entries.size()), int(left * 1000) + 1) < 0) return;
  std::vector<bool> can_be_read;
  for (size_t i = 1; i < entries.size(); ++i) can_be_read.push_back(entries[i].revents != 0);
  hear_all(can_be_read, came);
  if (entries[0].revents != 0) accept_some();
}

void Gate::hear_all(const std::vector<bool>& can_be_read, std::vector<Visitor>& came) {
  const double now = monotonic_seconds();
  std::deque<Pending> before = std::move(pending_);
  pending_.clear();
  for (size_t i = 0; i < before.size(); ++i) {
    Pending& pending = before[i];
    Step step = can_be_read[i] ? hear(pending) : Step::kWaits;
    if (step == Step::kWaits && now > pending.since + limits_.prove_seconds) step = Step::kSilent;
    count(step);
    if (step == Step::kProven) came.push_back({pending.introduction, std::move(pending.socket)});
    if (step == Step::kWaits) pending_.push_back(std::move(pending));
  }
}

Gate::Step Gate::hear(Pending& pending) const {
  for (;;) {
    const size_t wanted = pending.nonce.empty() ? sizeof(Introduction) : kProofBytes;
    char bytes[sizeof(Introduction)];
    const ssize_t n = ::recv(pending.socket.get(), bytes, wanted - pending.heard.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) return Step::kWaits;
    if (n <= 0) return Step::kSilent;
    pending.heard.append(bytes, size_t(n));
    const bool is_whole = pending.heard.size() == wanted;
    if (pending.nonce.empty() && !begins_as_introduction(pending.heard)) return Step::kForeign;
    if (!is_whole) continue;
    if (!pending.nonce.empty()) return check_proof(pending);
    if (const Step step = understand(pending); step != Step::kWaits) return step;
  }
}

// The whole introduction was heard.
Gate::Step Gate::understand(Pending& pending) const {
  std::memcpy(static_cast<void*>(&pending.introduction), pending.heard.data(), sizeof(Introduction));
  if (pending.introduction.to != rank_) return Step::kForeign;
  pending.heard.clear();
  pending.nonce = random_bytes(kNonceBytes);
  return send_now(pending.socket, pending.nonce) ? Step::kWaits : Step::kSilent;
}

Gate::Step Gate::check_proof(const Pending& pending) const {
  if (!equal_secrets(pending.heard, prove(Side::kGuest, key_, pending.introduction, pending.nonce)))
    return Step::kUnproven;
  const std::string answer = prove(Side::kHost, key_, pending.introduction, pending.nonce);
  return send_now(pending.socket, answer) ? Step::kProven : Step::kSilent;
}

void Gate::accept_some() {
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    Socket socket = accept_now(listener_);
    if (!socket.is_open() && is_shortage(errno)) {
      if (pending_.empty()) ::poll(nullptr, 0, kBreathMilliseconds);
      drop_one();
    }
    if (!socket.is_open()) return;
    if (pending_.size() >= limits_.pending) drop_one();
    pending_.push_back({std::move(socket), monotonic_seconds(), {}});
  }
}

// The oldest of those that have not introduced themselves, if there is one.
void Gate::drop_one() {
  if (pending_.empty()) return;
  const auto nameless =
      std::find_if(pending_.begin(), pending_.end(), [](const Pending& p) { return p.nonce.empty(); });
  pending_.erase(nameless == pending_.end() ? pending_.begin() : nameless);
  count(Step::kSilent);
}

void Gate::count(Step step) {
  strangers_.silent += step == Step::kSilent ? 1 : 0;
  strangers_.foreign += step == Step::kForeign ? 1 : 0;
  strangers_.unproven += step == Step::kUnproven ? 1 : 0;
}

Strangers Gate::close() {
  for (int i = 0; i < SOMAXCONN && accept_now(listener_).is_open(); ++i) count(Step::kSilent);
  while (!pending_.empty()) drop_one();
  return strangers_;
}

}  // namespace pixart::distributed
