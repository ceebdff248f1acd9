// One process at a time, across processes of this machine (and of others, where the file system passes
// flock() on).
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>

namespace pixart {

// Held for the life of the object, and released by the system when the process dies. The file stays.
class FileLock {
 public:
  explicit FileLock(const std::filesystem::path& path);  // waits until it is free
  static std::optional<FileLock> try_lock(const std::filesystem::path& path);
  ~FileLock();
  FileLock(FileLock&& other) noexcept : descriptor_(other.descriptor_) { other.descriptor_ = -1; }
  FileLock& operator=(FileLock&&) = delete;

 private:
  explicit FileLock(int descriptor) : descriptor_(descriptor) {}
  int descriptor_;
};

// Whether the process `process` of this machine holds a lock on the file; asks without taking it, so that
// nobody who wants it is turned away. False where the system does not say.
bool is_locked_by(const std::filesystem::path& path, int64_t process);

}  // namespace pixart
