// One process at a time, across processes of this machine (and of others, where the file system passes
// flock() on).
#pragma once
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

}  // namespace pixart
