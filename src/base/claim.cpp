#include "pixart/base/claim.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <random>
#include <thread>
#include <utility>

#include "pixart/base/deletion.h"
#include "pixart/base/env.h"
#include "pixart/base/log.h"
#include "temporary_name.h"

namespace pixart {
namespace fs = std::filesystem;

namespace {

constexpr double kSignSeconds = 1;  // between two signs of life, and between two looks at them
constexpr size_t kCountDigits = 20;
constexpr double kSignsPerPatience = 4;  // at least
constexpr std::chrono::milliseconds kPoll{20};
constexpr std::chrono::milliseconds kSettle{100};  // until another machine has written what it began to write

double interval_of(const SharedWork& shared) {
  double longest = kSignSeconds;
  for (const double silence : {shared.patience_seconds, shared.lease_seconds})
    if (silence > 0) longest = std::min(longest, silence / kSignsPerPatience);
  return longest;
}

struct Holder {
  uint64_t count = 0;
  int64_t process = 0;  // 0: the file does not tell
  int rank = -1;
  std::string host = {}, token = {};  // earlier versions wrote no token
};

Holder read_holder(const fs::path& lock) {
  Holder found;
  std::ifstream file(lock);
  if (!(file >> found.count >> found.process >> found.rank >> found.host)) return {};
  file >> found.token;
  return found;
}

std::string describe(const Holder& holder) {
  if (holder.process == 0) return "another process";
  const std::string process = fmt::format("process {} on {}", holder.process, holder.host);
  return holder.rank < 0 ? process : fmt::format("rank {} ({})", holder.rank, process);
}

// Whether a process writes to a file of this name before it publishes `made`.
bool is_unpublished(const std::string& name, const std::string& made) {
  const std::string own = own_name(name), before = made + ".";
  return own == made || own.starts_with(before) || name.starts_with(before);
}

// The bytes written so far by whoever makes `made`.
uint64_t temporary_bytes(const fs::path& made) {
  const std::string name = made.filename();
  uint64_t bytes = 0;
  std::error_code error, unknown;
  for (fs::directory_iterator at(made.parent_path(), error), end; !error && at != end; at.increment(error)) {
    if (!is_unpublished(at->path().filename(), name)) continue;
    const uint64_t size = fs::file_size(at->path(), unknown);
    if (!unknown) bytes += size + 1;  // an empty file is a sign, too
  }
  return bytes;
}

// The file is closed at once: a file server shows to others what was written before a close. A sign that cannot be
// written costs nothing but the patience of those who wait.
void write_at_start(const fs::path& path, const std::string& text) {
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (descriptor < 0) return;
  (void)!::pwrite(descriptor, text.data(), text.size(), 0);
  ::close(descriptor);
}

std::string count_text(uint64_t count) { return fmt::format("{:0{}}", count, kCountDigits); }

std::string random_token() {
  std::random_device device;
  return fmt::format("{:08x}{:08x}", device(), device());
}

// Whether the claim, whose flock() this process has, is free.
bool is_free(const fs::path& lock, bool is_new, const SharedWork& shared, const HolderWatch* watch) {
  Holder holder = read_holder(lock);
  if (!is_new && holder.process == 0) {  // killed before it wrote, or another machine is about to write
    std::this_thread::sleep_for(kSettle);
    holder = read_holder(lock);
  }
  if (holder.token.empty() || holder.host == host_name()) return true;
  if (watch == nullptr || watch->silent_seconds() < shared.lease_seconds) return false;
  log::warning("{}, which holds {}, has given no sign of life for {:.0f} s. This process takes over.",
               describe(holder), lock.string(), watch->silent_seconds());
  return true;
}

thread_local SignsOfLife* current_signs = nullptr;

}  // namespace

std::optional<Claim> Claim::try_take(const fs::path& lock, const SharedWork& shared,
                                     const HolderWatch* watch) {
  bool is_new = false;
  auto taken = FileLock::try_claim(lock, is_new);
  if (!taken || !is_free(lock, is_new, shared, watch)) return std::nullopt;
  Claim claim(std::move(*taken), lock, shared);
  if (is_new) return claim;
  std::this_thread::sleep_for(watch == nullptr ? std::chrono::milliseconds(0) : kSettle);
  if (claim.is_lost()) return std::nullopt;  // another machine took it over at the same moment
  return claim;
}

Claim Claim::wait_for(const fs::path& lock, const fs::path& made, const SharedWork& shared) {
  std::optional<HolderWatch> watch;
  for (;;) {
    if (auto claim = try_take(lock, shared, watch ? &*watch : nullptr)) return *std::move(claim);
    if (stop_requested())
      throw UserError(fmt::format("stopped on request while another process held {}. The same command "
                                  "continues.",
                                  lock.string()),
                      ExitCode::kRequeue);
    if (!watch) watch.emplace(lock, made, shared);
    watch->look();
    std::this_thread::sleep_for(kPoll);
  }
}

// The count goes on from that of the former holder, so that a new one is a change for earlier versions, too.
Claim::Claim(FileLock lock, fs::path path, const SharedWork& shared)
    : lock_(std::move(lock)),
      path_(std::move(path)),
      token_(random_token()),
      every_seconds_(interval_of(shared)),
      next_(monotonic_seconds() + every_seconds_),
      count_(read_holder(path_).count + 1) {
  write_at_start(path_, fmt::format("{}\n{} {} {} {}\n", count_text(count_), process_id(), shared.rank,
                                    host_name(), token_));
}

Claim::~Claim() {
  if (lock_ && !is_lost()) delete_file(path_);
}

Claim::Claim(Claim&& other) noexcept
    : lock_(std::move(other.lock_)),
      path_(std::move(other.path_)),
      token_(std::move(other.token_)),
      every_seconds_(other.every_seconds_),
      next_(other.next_),
      count_(other.count_) {
  other.lock_.reset();
}

// A file that cannot be read at the moment tells nothing.
bool Claim::is_lost() const {
  std::error_code error;
  if (!fs::exists(path_, error)) return !error;
  const std::string now = read_holder(path_).token;
  return !now.empty() && now != token_;
}

void Claim::sign_of_life() {
  const double now = monotonic_seconds();
  if (now < next_) return;
  next_ = now + every_seconds_;
  if (!is_lost()) write_at_start(path_, count_text(++count_));
}

SignsOfLife::SignsOfLife(Claim& claim, fs::path made)
    : claim_(claim),
      made_(std::move(made)),
      next_look_(monotonic_seconds()),
      before_(std::exchange(current_signs, this)) {}
SignsOfLife::~SignsOfLife() { current_signs = before_; }

void give_sign_of_life() {
  if (current_signs == nullptr) return;
  SignsOfLife& signs = *current_signs;
  signs.claim_.sign_of_life();
  if (signs.made_.empty() || monotonic_seconds() < signs.next_look_) return;
  signs.next_look_ = monotonic_seconds() + kSignSeconds;
  std::error_code error;
  if (fs::exists(signs.made_, error) || signs.claim_.is_lost()) throw Overtaken();
}

HolderWatch::HolderWatch(fs::path lock, fs::path made, SharedWork shared)
    : lock_(std::move(lock)),
      made_(std::move(made)),
      shared_(shared),
      last_look_(monotonic_seconds()),
      held_since_(last_look_),
      warn_at_(shared.warn_seconds),
      last_(read_sign()) {}

HolderWatch::Sign HolderWatch::read_sign() const {
  const Holder holder = read_holder(lock_);
  return {.token = holder.token, .count = holder.count, .bytes = temporary_bytes(made_)};
}

double HolderWatch::held_seconds() const { return monotonic_seconds() - held_since_; }

void HolderWatch::look() {
  constexpr double kLongestLook = 1;  // more is a suspension of this process, and perhaps of the holder
  const double passed = monotonic_seconds() - last_look_;
  if (passed < std::min(interval_of(shared_), shared_.warn_seconds / kSignsPerPatience)) return;
  last_look_ += passed;
  silent_seconds_ += std::min(passed, kLongestLook);
  if (const Sign sign = read_sign(); sign != last_) {
    if (sign.token != last_.token) held_since_ = last_look_;
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
