// Who may write to a run folder.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "pixart/base/file_lock.h"

namespace pixart::train {

struct LeaseTimes {
  double beat_seconds = 5;       // between two signs of life
  double patience_seconds = 20;  // without one, an owner on another machine counts as dead
};

// Exclusive use of a run folder for the life of the object. On one machine, and where the file system passes
// flock() on, a lock says so, which the system releases when the process dies. Beside it the owner shows
// signs of life in
// `.owner`, by which processes on other machines tell whether it lives: they watch whether these change, and
// compare no clocks. Each owner has a number of its own (`epoch`), one more than the last.
class RunLock {
 public:
  // Throws UserError(kFolderOwned) naming process and host of the owner.
  explicit RunLock(std::filesystem::path folder, LeaseTimes times = {});
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  // To be called before something is written that must not come from two processes. Throws
  // UserError(kFolderOwned) if another process has taken the folder over, because this one gave no sign of
  // life.
  void check() const;
  int64_t epoch() const { return epoch_; }

 private:
  void write_owner(int64_t beat, bool released) const;
  void beat();

  const std::filesystem::path folder_;
  const LeaseTimes times_;
  std::optional<FileLock> lock_;
  int64_t epoch_ = 0;
  std::string nonce_;
  std::thread thread_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopped_ = false;
};

}  // namespace pixart::train
