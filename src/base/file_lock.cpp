#include "pixart/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "pixart/base/error.h"

namespace pixart {

namespace {

int open_lock(const std::filesystem::path& path) {
  const int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor < 0)
    throw UserError(fmt::format("cannot open {}: {}.", path.string(), std::strerror(errno)),
                    ExitCode::kStorage);
  return descriptor;
}

// True if the lock was taken; `flags` may forbid waiting.
bool take(int descriptor, int flags, const std::filesystem::path& path) {
  for (;;) {
    if (::flock(descriptor, LOCK_EX | flags) == 0) return true;
    if (errno == EWOULDBLOCK) return false;
    if (errno != EINTR)
      throw UserError(fmt::format("cannot lock {}: {}.", path.string(), std::strerror(errno)),
                      ExitCode::kStorage);
  }
}

}  // namespace

FileLock::FileLock(const std::filesystem::path& path) : FileLock(open_lock(path)) {
  take(descriptor_, 0, path);
}

std::optional<FileLock> FileLock::try_lock(const std::filesystem::path& path) {
  FileLock lock(open_lock(path));
  if (!take(lock.descriptor_, LOCK_NB, path)) return std::nullopt;
  return lock;
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

// A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF", with process and device:inode.
bool is_locked_by(const std::filesystem::path& path, int64_t process) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return false;
  const std::string inode = ":" + std::to_string(status.st_ino);
  std::ifstream locks("/proc/locks");
  for (std::string line; std::getline(locks, line);) {
    std::istringstream words(line);
    std::string number, kind, manner, access, place;
    int64_t holder = 0;
    if (words >> number >> kind >> manner >> access >> holder >> place && kind == "FLOCK" &&
        holder == process && place.ends_with(inode))
      return true;
  }
  return false;
}

}  // namespace pixart
