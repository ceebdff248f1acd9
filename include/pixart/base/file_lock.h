// A lock between processes of this machine, and of other machines if the file system shares flock(). Where the
// file system has no flock() (ENOLCK, ENOSYS, EOPNOTSUPP), a file in $PIXART_LOCK_FOLDER (/var/tmp/pixart-locks) is
// locked instead, with one warning: that keeps apart the processes of machines that share this folder.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>

namespace pixart {

// Held as long as the object exists. The system releases it when the process dies. The file is made if it does
// not exist, and not deleted; a folder that exists is locked itself.
class FileLock {
 public:
  // Waits until the lock is free, and calls `while_waiting` after each try; what that throws ends the wait.
  // Throws UserError(kRequeue) if the process is asked to stop meanwhile.
  explicit FileLock(const std::filesystem::path& path, const std::function<void()>& while_waiting = {});
  static std::optional<FileLock> try_lock(const std::filesystem::path& path);
  // For claims (claim.h), whose file may be deleted by the holder: a lock on a file that has another name by now
  // counts for nothing. Sets `is_new` if this call made the file, which only one process of all machines does.
  // Gives no warning where only the processes of this machine are kept apart.
  static std::optional<FileLock> try_claim(const std::filesystem::path& path, bool& is_new);
  ~FileLock();
  FileLock(FileLock&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  FileLock& operator=(FileLock&&) = delete;

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

// True if the process with the id `process` on this machine holds a lock on the file. It does not take the
// lock, so another process that asks for it now still gets it. False where the system does not tell.
bool is_locked_by(const std::filesystem::path& path, int64_t process);

}  // namespace pixart
