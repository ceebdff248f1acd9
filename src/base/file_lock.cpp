#include "pixart/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

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

// Whether it was taken; `flags` may forbid waiting.
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

}  // namespace pixart
