#include "pixart/base/claim.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "pixart/base/env.h"
#include "pixart/base/log.h"
#include "temporary_name.h"

namespace pixart {
namespace fs = std::filesystem;

namespace {

constexpr double kSignSeconds = 1;    // between two signs of life
constexpr double kLookSeconds = 0.2;  // between two looks at them
constexpr size_t kCountDigits = 20;
constexpr double kSignsPerPatience = 4;  // at least

double interval_of(const SharedWork& shared) {
  if (shared.patience_seconds <= 0) return kSignSeconds;
  return std::min(kSignSeconds, shared.patience_seconds / kSignsPerPatience);
}

struct Holder {
  uint64_t count = 0;
  int64_t process = 0;  // 0: the file does not tell
  int rank = -1;
  std::string host;
};

Holder read_holder(const fs::path& lock) {
  Holder found;
  std::ifstream file(lock);
  if (!(file >> found.count >> found.process >> found.rank >> found.host)) return {};
  return found;
}

std::string describe(const Holder& holder) {
  if (holder.process == 0) return "another process";
  const std::string process = fmt::format("process {} on {}", holder.process, holder.host);
  return holder.rank < 0 ? process : fmt::format("rank {} ({})", holder.rank, process);
}

// The bytes written so far by whoever makes `made`.
uint64_t temporary_bytes(const fs::path& made) {
  const std::string name = made.filename();
  uint64_t bytes = 0;
  std::error_code error, unknown;
  for (fs::directory_iterator at(made.parent_path(), error), end; !error && at != end; at.increment(error)) {
    if (own_name(at->path().filename()) != name) continue;
    const uint64_t size = fs::file_size(at->path(), unknown);
    if (!unknown) bytes += size + 1;  // an empty file is a sign, too
  }
  return bytes;
}

// A sign that cannot be written costs nothing but the patience of those who wait.
void write_at_start(int descriptor, const std::string& text) {
  if (descriptor >= 0) (void)!::pwrite(descriptor, text.data(), text.size(), 0);
}

std::string count_text(uint64_t count) { return fmt::format("{:0{}}", count, kCountDigits); }

thread_local Claim* current_claim = nullptr;

}  // namespace

std::optional<Claim> Claim::try_take(const fs::path& lock, const SharedWork& shared) {
  auto taken = FileLock::try_lock(lock);
  if (!taken) return std::nullopt;
  return Claim(std::move(*taken), lock, shared);
}

Claim Claim::wait_for(const fs::path& lock, const fs::path& made, const SharedWork& shared) {
  std::optional<HolderWatch> watch;
  FileLock taken(lock, [&] {
    if (!watch) watch.emplace(lock, made, shared);
    watch->look();
  });
  return Claim(std::move(taken), lock, shared);
}

// The count goes on from that of the former holder, so that a new one is a change.
Claim::Claim(FileLock lock, const fs::path& path, const SharedWork& shared)
    : lock_(std::move(lock)),
      descriptor_(::open(path.c_str(), O_WRONLY | O_CLOEXEC)),
      every_seconds_(interval_of(shared)),
      next_(monotonic_seconds() + every_seconds_),
      count_(read_holder(path).count + 1) {
  write_at_start(descriptor_,
                 fmt::format("{}\n{} {} {}\n", count_text(count_), process_id(), shared.rank, host_name()));
}

Claim::~Claim() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Claim::Claim(Claim&& other) noexcept
    : lock_(std::move(other.lock_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      every_seconds_(other.every_seconds_),
      next_(other.next_),
      count_(other.count_) {}

void Claim::sign_of_life() {
  const double now = monotonic_seconds();
  if (now < next_) return;
  next_ = now + every_seconds_;
  write_at_start(descriptor_, count_text(++count_));
}

SignsOfLife::SignsOfLife(Claim& claim) : before_(std::exchange(current_claim, &claim)) {}
SignsOfLife::~SignsOfLife() { current_claim = before_; }

void give_sign_of_life() {
  if (current_claim != nullptr) current_claim->sign_of_life();
}

HolderWatch::HolderWatch(fs::path lock, fs::path made, SharedWork shared)
    : lock_(std::move(lock)),
      made_(std::move(made)),
      shared_(shared),
      last_look_(monotonic_seconds()),
      warn_at_(shared.warn_seconds),
      last_(read_sign()) {}

HolderWatch::Sign HolderWatch::read_sign() const {
  return {.count = read_holder(lock_).count, .bytes = temporary_bytes(made_)};
}

void HolderWatch::look() {
  constexpr double kLongestLook = 1;  // more is a suspension of this process, and perhaps of the holder
  const double passed = monotonic_seconds() - last_look_;
  if (passed < std::min(kLookSeconds, interval_of(shared_))) return;
  last_look_ += passed;
  silent_seconds_ += std::min(passed, kLongestLook);
  if (const Sign sign = read_sign(); sign != last_) {
    last_ = sign;
    silent_seconds_ = 0;
    warn_at_ = shared_.warn_seconds;
    return;
  }
  const bool is_too_long = shared_.patience_seconds > 0 && silent_seconds_ > shared_.patience_seconds;
  if (!is_too_long && silent_seconds_ < warn_at_) return;
  const Holder holder = read_holder(lock_);
  const std::string what = fmt::format("{}, which makes {}, has given no sign of life for {:.0f} s",
                                       describe(holder), made_.string(), silent_seconds_);
  if (is_too_long)
    throw SilentHolder(what + ": it or its disk hangs. End it, and start the same command again.",
                       holder.rank);
  log::warning("{}. This process waits for it; if it hangs, end it.", what);
  warn_at_ += shared_.warn_again_seconds;
}

}  // namespace pixart
