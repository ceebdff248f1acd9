#include "log_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/machine_fault.h"

namespace pixart {

LogFile::LogFile(std::filesystem::path path, size_t most_bytes)
    : path_(std::move(path)), most_bytes_(most_bytes) {
  create_folders(path_.parent_path());
  open();
  if (descriptor_ >= 0) return;
  const int error = errno;
  throw UserError(fmt::format("cannot write the log file {}: {}.{}", path_.string(), reason_of(error),
                              is_shortage(error) ? std::string(" ") + remedy_of(error) : ""),
                  is_shortage(error) ? ExitCode::kDevice : ExitCode::kStorage);
}

LogFile::~LogFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

// A pipe is refused like a socket (ENXIO): its reader would have to keep up with the run.
void LogFile::open() {
  if (descriptor_ >= 0) return;
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0666);
  struct stat info {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &info) != 0 || !S_ISFIFO(info.st_mode)) return;
  ::close(std::exchange(descriptor_, -1));
  errno = ENXIO;
}

std::string LogFile::write(std::string_view line) {
  waiting_ += line;
  open();
  while (descriptor_ >= 0 && !waiting_.empty()) {
    const ssize_t count = ::write(descriptor_, waiting_.data(), waiting_.size());
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    waiting_.erase(0, size_t(count));
  }
  if (waiting_.empty()) {
    dropped_ = 0;
    return "";
  }
  const std::string reason = reason_of(errno);
  // A file server that was away may have made it stale, so it is opened again.
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
  drop_oldest();
  return reason;
}

// To half of the bound. The first line may have been written in part, so its end stays.
void LogFile::drop_oldest() {
  if (waiting_.size() <= most_bytes_) return;
  const size_t first = waiting_.find('\n') + 1, end = waiting_.find('\n', waiting_.size() / 2) + 1;
  if (end <= first) return;
  const auto at = [&](size_t place) { return waiting_.begin() + ptrdiff_t(place); };
  dropped_ += std::count(at(first), at(end), '\n');
  waiting_.replace(first, end - first, fmt::format("({} lines could not be written)\n", dropped_));
  --dropped_;  // that line is dropped with the others next time
}

}  // namespace pixart
