#include "pixart/base/standard_streams.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace pixart {

namespace {

// errno is not enough: it is the error of the last write, and an earlier write may have failed.
bool reader_has_gone(int descriptor) {
  pollfd entry{descriptor, 0, 0};
  return ::poll(&entry, 1, 0) > 0 && (entry.revents & (POLLERR | POLLHUP)) != 0;
}

bool is_open_for_writing(int descriptor) {
  const int flags = ::fcntl(descriptor, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

// Some file systems report only when a file is closed that there was no room for its bytes.
bool close_a_copy(int descriptor) {
  const int copy = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  return copy < 0 || ::close(copy) == 0;
}

}  // namespace

void prepare_standard_streams() {
  for (int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    const int access = descriptor == STDOUT_FILENO ? O_RDONLY : O_RDWR;  // what is printed must not be taken
    if (::fcntl(descriptor, F_GETFD) < 0) (void)!::open("/dev/null", access);  // takes the lowest free number
  }
  std::signal(SIGPIPE, SIG_IGN);
}

std::string finish_standard_output() {
  const bool failed_before = std::ferror(stdout) != 0;
  errno = 0;
  const bool is_written = std::fflush(stdout) == 0 && close_a_copy(STDOUT_FILENO);
  const int error = errno;
  if ((is_written && !failed_before) || reader_has_gone(STDOUT_FILENO)) return "";
  if (!is_open_for_writing(STDOUT_FILENO)) return "it is closed";
  return is_written ? "a write failed (is the disk full?)" : std::strerror(error);
}

}  // namespace pixart
