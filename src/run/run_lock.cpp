#include "pixart/run/run_lock.h"

#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <random>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/run/stopped.h"

namespace pixart::run {
namespace fs = std::filesystem;
using nlohmann::json;

namespace {

struct Owner {
  std::string host, since, nonce;
  int64_t process = 0, epoch = 0, beat = 0;
  bool released = false;
};

fs::path owner_file(const fs::path& folder) { return folder / ".owner"; }

std::optional<Owner> read_owner(const fs::path& folder) {
  if (!fs::exists(owner_file(folder))) return std::nullopt;
  try {
    const json saved = json::parse(read_file(owner_file(folder)));
    return Owner{.host = saved.at("host"),
                 .since = saved.at("since"),
                 .nonce = saved.at("nonce"),
                 .process = saved.at("process"),
                 .epoch = saved.at("epoch"),
                 .beat = saved.at("beat"),
                 .released = saved.at("released")};
  } catch (const std::exception&) {  // it is being replaced, or was edited
    return std::nullopt;
  }
}

std::string describe(const std::optional<Owner>& owner) {
  if (!owner) return "another process";
  return fmt::format("process {} on {} since {}", owner->process, owner->host, owner->since);
}

UserError in_use(const fs::path& folder, const std::optional<Owner>& owner) {
  return UserError(
      fmt::format("run folder {} is in use by {}. Wait for it, stop it, or give this run another folder "
                  "(--set run=FOLDER).",
                  folder.string(), describe(owner)),
      ExitCode::kFolderOwned);
}

// This process has the lock, but an owner on another machine may still be alive.
void wait_for_signs_of_life(const fs::path& folder, const Owner& owner, const LeaseTimes& times) {
  log::info("run folder {} was last used by {}; waiting up to {:.0f} s for a sign of life", folder.string(),
            describe(owner), times.patience_seconds);
  const double deadline = monotonic_seconds() + times.patience_seconds;
  constexpr double kLookSeconds = 0.2;  // also for a request to stop
  while (monotonic_seconds() < deadline) {
    if (stop_requested()) throw stopped("no work had begun");
    std::this_thread::sleep_for(
        std::chrono::duration<double>(std::min(times.beat_seconds / 10, kLookSeconds)));
    const auto now = read_owner(folder);
    if (now && (now->beat != owner.beat || now->nonce != owner.nonce) && !now->released)
      throw in_use(folder, now);
    if (now && now->released) return;
  }
  log::warning("{} gave no sign of life; this process takes over its run folder", describe(owner));
}

}  // namespace

RunLock::RunLock(fs::path folder, LeaseTimes times) : folder_(std::move(folder)), times_(times) {
  create_folders(folder_);
  auto taken = FileLock::try_lock(folder_ / ".lock");
  if (taken) lock_.emplace(std::move(*taken));
  const auto owner = read_owner(folder_);
  if (!lock_) throw in_use(folder_, owner);
  if (owner && !owner->released && owner->host != host_name())
    wait_for_signs_of_life(folder_, *owner, times_);
  epoch_ = owner ? owner->epoch + 1 : 1;
  nonce_ = fmt::format("{:08x}{:08x}", std::random_device()(), std::random_device()());
  write_owner(0, false);
  thread_ = std::thread([this] { beat(); });
}

RunLock::~RunLock() {
  {
    const std::scoped_lock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  try {
    check();
    write_owner(0, true);
  } catch (const std::exception&) {  // then the next owner waits a little longer
  }
}

void RunLock::check() const {
  const auto owner = read_owner(folder_);
  if (!owner || owner->nonce == nonce_) return;
  throw UserError(
      fmt::format("run folder {} was taken over by {}, because this process gave no sign of life for too "
                  "long. This process writes nothing more.",
                  folder_.string(), describe(owner)),
      ExitCode::kFolderOwned);
}

void RunLock::write_owner(int64_t beat, bool released) const {
  static const std::string since = utc_time_now();
  const json owner = {{"host", host_name()}, {"process", process_id()}, {"since", since},
                      {"nonce", nonce_},     {"epoch", epoch_},         {"beat", beat},
                      {"released", released}};
  write_file_atomically(owner_file(folder_), owner.dump() + "\n");
}

void RunLock::beat() {
  std::unique_lock lock(mutex_);
  for (int64_t beat = 1; !changed_.wait_for(lock, std::chrono::duration<double>(times_.beat_seconds),
                                            [this] { return stopped_; });
       ++beat) {
    try {
      check();
      write_owner(beat, false);
    } catch (const UserError& error) {
      if (error.code() == ExitCode::kFolderOwned) return;  // the training thread will notice
    } catch (const std::exception&) {                      // a full disk: the next beat may succeed
    }
  }
}

}  // namespace pixart::run
