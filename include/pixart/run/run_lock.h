// A lock on the run folder: only its owner may write there.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "pixart/base/file_lock.h"

namespace pixart::run {

struct LeaseTimes {
  double beat_seconds = 5;       // between two signs of life
  double patience_seconds = 20;  // without a sign of life, an owner on another machine counts as dead
};

// Exclusive use of a run folder for the life of the object. On one machine, and on file systems that share
// flock(), this is a lock, which the system releases when the process dies. In addition the owner writes
// signs of life to `.owner`: processes on other machines watch whether these change, without comparing
// clocks. Each owner has its own number (`epoch`), one more than the previous owner's.
class RunLock {
 public:
  // Throws UserError(kFolderOwned) that names process and host of the owner.
  explicit RunLock(std::filesystem::path folder, LeaseTimes times = {});
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  // Must be called before writing anything that only one process may write. Throws UserError(kFolderOwned) if
  // another process has taken over the folder because this one gave no sign of life.
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

}  // namespace pixart::run
