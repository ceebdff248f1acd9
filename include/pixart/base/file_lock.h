// A lock between processes of this machine, and of other machines if the file system shares flock().
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>

namespace pixart {

// Held as long as the object exists. The system releases it when the process dies. The file is not deleted.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path);  // waits until the lock is free
  static std::optional<FileLock> try_lock(const std::filesystem::path& path);
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
