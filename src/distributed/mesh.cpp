#include "mesh.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <thread>
#include <utility>

#include "exchange.h"
#include "pixart/base/env.h"
#include "pixart/distributed/phase.h"

namespace pixart::distributed {

namespace {

constexpr uint32_t kNoticeMagic = 0x50784e34;
constexpr double kNoticeSeconds = 1;  // for the rest of a notice after its first byte
constexpr double kAnswerSeconds = 2;  // time for the other ranks to answer

struct Notice {
  uint32_t magic;
  int32_t accused, code;
  uint8_t is_wait, has_progress;
  CallProgress progress;
  char text[976];
};

}  // namespace

Mesh::Mesh(int rank, std::vector<Link> links, double timeout_seconds)
    : rank_(rank), timeout_seconds_(timeout_seconds), links_(std::move(links)) {
  const double now = monotonic_seconds();
  for (auto& link : links_) {
    link.last_seen = now;
    link.has_ended = !link.control.is_open();
  }
}

void Mesh::exchange(const Call& call, std::span<const Part> parts) {
  PIXART_CHECK(parts.size() == links_.size());
  enter_phase(call.phase);
  read_notices(0, -1);
  throw_if_failed();
  ++sequence_;
  Exchange(*this, call, parts).run();
}

void Mesh::throw_if_failed() {
  bool must_ask = false;
  {
    const std::scoped_lock lock(control_mutex_);
    must_ask = failure_ && failure_->is_wait;
  }
  if (must_ask) wait_for_answers();
  const std::scoped_lock lock(control_mutex_);
  if (failure_) throw UserError(failure_->message, failure_->code);
}

void Mesh::announce(const std::string& message, int accused, ExitCode code) {
  const std::scoped_lock lock(control_mutex_);
  tell({message, code, accused, false});
}

void Mesh::announce_wait(const std::string& message) {
  const std::scoped_lock lock(control_mutex_);
  tell({message, ExitCode::kDevice, -1, true});
}

void Mesh::answer_with(std::function<CallProgress()> progress) {
  const std::scoped_lock lock(control_mutex_);
  progress_ = std::move(progress);
}

// The caller holds control_mutex_.
void Mesh::tell(const Failure& failure) {
  if (!failure_) {
    failure_ = failure;
    accuse_rank(failure.accused, failure.message);
  }
  if (std::exchange(told_, true)) return;
  if (progress_) links_[size_t(rank_)].progress = progress_();
  Notice notice{};
  notice.magic = kNoticeMagic;
  notice.accused = failure.accused;
  notice.code = int32_t(failure.code);
  notice.is_wait = failure.is_wait;
  notice.has_progress = bool(progress_);
  notice.progress = links_[size_t(rank_)].progress.value_or(CallProgress{});
  std::memcpy(notice.text, failure.message.data(), std::min(failure.message.size(), sizeof notice.text - 1));
  // A notice fits into the empty buffer of the unused connection, so it is sent completely at once.
  for (const auto& link : links_)
    if (link.control.is_open())
      (void)::send(link.control.get(), &notice, sizeof notice, MSG_NOSIGNAL | MSG_DONTWAIT);
}

void Mesh::give_up(const std::string& message, int accused, ExitCode code) {
  announce(message, accused, code);
  throw_if_failed();
  throw InternalError("a failure was not recorded");
}

// The caller holds control_mutex_, and data can be read.
void Mesh::read_notice(int from) {
  Link& link = links_[size_t(from)];
  Notice notice{};
  if (!read_until(link.control, &notice, sizeof notice, monotonic_seconds() + kNoticeSeconds) ||
      notice.magic != kNoticeMagic) {
    link.has_ended = true;
    return;
  }
  link.has_told = true;
  if (notice.has_progress != 0) link.progress = notice.progress;
  if (!failure_) {
    const int last_code = int(ExitCode::kBadInput);
    failure_ =
        Failure{std::string(notice.text, ::strnlen(notice.text, sizeof notice.text)),
                notice.code > 0 && notice.code <= last_code ? ExitCode(notice.code) : ExitCode::kDevice,
                notice.accused, notice.is_wait != 0};
    // A rank that others call lost does not know why.
    accuse_rank(notice.accused, notice.accused == rank_ ? "" : failure_->message);
  }
  if (progress_) tell(*failure_);
  name_delayed();
}

// The caller holds control_mutex_. When all have answered, the first message becomes one that names those who
// keep the others waiting.
void Mesh::name_delayed() {
  if (!failure_ || !failure_->is_wait) return;
  std::vector<CallProgress> progress;
  for (const Link& link : links_) {
    if (!link.progress) return;
    progress.push_back(*link.progress);
  }
  const Delay delay = find_delay(progress);
  failure_->message = name_delay(delay, failure_->message);
  failure_->is_wait = false;
  failure_->accused = delay.ranks.empty() ? -1 : delay.ranks.front();
  accuse_rank(failure_->accused, failure_->message);
}

// Reads the notices that have arrived. With a rank in `until_ended`, waits for its notice or its end, up to
// the given time.
void Mesh::read_notices(int64_t wait_milliseconds, int until_ended) {
  const std::scoped_lock lock(control_mutex_);
  const double deadline = monotonic_seconds() + double(wait_milliseconds) / 1000;
  for (;;) {
    std::vector<pollfd> entries;
    std::vector<int> ranks;
    for (int r = 0; r < world_size(); ++r) {
      if (links_[size_t(r)].has_ended) continue;
      entries.push_back({links_[size_t(r)].control.get(), POLLIN, 0});
      ranks.push_back(r);
    }
    const bool must_wait = until_ended >= 0 && !failure_ && !links_[size_t(until_ended)].has_ended;
    const double left = must_wait ? std::max(0.0, deadline - monotonic_seconds()) : 0;
    const int ready = ::poll(entries.data(), nfds_t(entries.size()), int(left * 1000));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return;
    for (size_t i = 0; i < entries.size(); ++i)
      if (entries[i].revents != 0) read_notice(ranks[i]);
  }
}

std::optional<std::string> Mesh::look_for_failure() {
  read_notices(0, -1);
  const std::scoped_lock lock(control_mutex_);
  if (failure_) return failure_->message;
  for (int r = 0; r < world_size(); ++r)
    if (r != rank_ && links_[size_t(r)].has_ended) return fmt::format("rank {} has ended", r);
  return std::nullopt;
}

std::vector<int> Mesh::silent_ranks() {
  read_notices(0, -1);
  const std::scoped_lock lock(control_mutex_);
  std::vector<int> silent;
  for (int r = 0; r < world_size(); ++r)
    if (r != rank_ && !links_[size_t(r)].has_told) silent.push_back(r);
  return silent;
}

std::vector<int> Mesh::wait_for_answers() {
  const double deadline = monotonic_seconds() + kAnswerSeconds;
  auto silent = silent_ranks();
  while (!silent.empty() && monotonic_seconds() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    silent = silent_ranks();
  }
  const std::scoped_lock lock(control_mutex_);
  if (!failure_) return silent;
  failure_->is_wait = false;
  if (silent.empty() || failure_->accused >= 0) return silent;
  failure_->accused = silent.front();
  accuse_rank(silent.front(), failure_->message);
  return silent;
}

}  // namespace pixart::distributed
