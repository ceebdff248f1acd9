#include "pixart/base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/machine_fault.h"

namespace pixart {
namespace fs = std::filesystem;

namespace {

constexpr const char* kFolderVariable = "PIXART_LOCK_FOLDER";
constexpr const char* kDefaultFolder = "/var/tmp/pixart-locks";

[[noreturn]] void cannot(const char* what, const fs::path& path, int error, const std::string& remedy = "") {
  throw UserError(fmt::format("cannot {} {}: {}.{}", what, path.string(), reason_of(error),
                              is_shortage(error) ? std::string(" ") + remedy_of(error) : remedy),
                  is_shortage(error) ? ExitCode::kDevice : ExitCode::kStorage);
}

// NFS without its lock server, Lustre mounted without -o flock, some FUSE file systems.
bool lacks_locks(int error) { return error == ENOLCK || error == ENOSYS || error == EOPNOTSUPP; }

// 0, or the error; EWOULDBLOCK: another process has the lock.
int error_of_locking(int descriptor) {
  while (::flock(descriptor, LOCK_EX | LOCK_NB) != 0)
    if (errno != EINTR) return errno;
  return 0;
}

// The same on all machines, unlike std::hash.
uint64_t fnv1a(const std::string& text) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return hash;
}

fs::path lock_folder() { return environment_variable(kFolderVariable).value_or(kDefaultFolder); }

// The file in the folder for locks that replaces `path`.
fs::path substitute(const fs::path& path) {
  std::error_code ignored;
  const fs::path whole = fs::weakly_canonical(path, ignored);
  return lock_folder() / fmt::format("{:016x}", fnv1a((whole.empty() ? path : whole).string()));
}

// Every user may lock the file; nobody can put a link in its place.
int open_substitute(const fs::path& file) {
  if (::mkdir(file.parent_path().c_str(), 01777) == 0) ::chmod(file.parent_path().c_str(), 01777);
  for (;;) {
    int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (descriptor < 0 && errno == ENOENT)
      descriptor = ::open(file.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (descriptor >= 0) return descriptor;
    if (errno != EEXIST) cannot("open", file, errno);
  }
}

void warn_once(const fs::path& path, int error) {
  static const bool is_said = [&] {
    log::warning(
        "{}: its file system has no locks ({}). Locks in {} keep the processes of this machine apart; start "
        "pixart in a folder on one machine at a time, or set {} to a folder that all machines share and that "
        "has locks.",
        path.string(), std::strerror(error), lock_folder().string(), kFolderVariable);
    return true;
  }();
  (void)is_said;
}

// The descriptor that holds the lock; -1: another process has it.
int try_take_substitute(const fs::path& path) {
  const fs::path file = substitute(path);
  const int descriptor = open_substitute(file);
  const int error = error_of_locking(descriptor);
  if (error == 0) return descriptor;
  ::close(descriptor);
  if (error == EWOULDBLOCK) return -1;
  cannot("lock", file, error,
         fmt::format(" Set {} to a folder whose file system has locks.", kFolderVariable));
}

// Locks what is open as `descriptor`, which is closed unless it is returned.
int try_take_open(const fs::path& path, int descriptor, bool warns) {
  struct stat info {};
  const bool is_pipe = ::fstat(descriptor, &info) == 0 && S_ISFIFO(info.st_mode);
  const int error = is_pipe ? ESPIPE : error_of_locking(descriptor);
  if (error == 0) return descriptor;
  ::close(descriptor);
  if (error == EWOULDBLOCK) return -1;
  if (!lacks_locks(error)) cannot("lock", path, error);
  if (warns) warn_once(path, error);
  return try_take_substitute(path);
}

int try_take(const fs::path& path) {
  int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor < 0 && errno == EISDIR)
    descriptor = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) cannot("open", path, errno);
  return try_take_open(path, descriptor, true);
}

struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

FileIdentity identity_of(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 ? FileIdentity{status.st_dev, status.st_ino} : FileIdentity{};
}

bool is_at(const fs::path& path, const FileIdentity& file) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && FileIdentity{status.st_dev, status.st_ino} == file;
}

bool is_locked_file(const fs::path& path, int64_t process) {
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

}  // namespace

FileLock::FileLock(const fs::path& path, const std::function<void()>& while_waiting) : FileLock(-1) {
  constexpr std::chrono::milliseconds kPoll{20};
  while ((descriptor_ = try_take(path)) < 0) {
    if (stop_requested())
      throw UserError(fmt::format("stopped on request while another process held {}. The same command "
                                  "continues.",
                                  path.string()),
                      ExitCode::kRequeue);
    if (while_waiting) while_waiting();
    std::this_thread::sleep_for(kPoll);
  }
}

std::optional<FileLock> FileLock::try_lock(const fs::path& path) {
  FileLock lock(try_take(path));
  if (lock.descriptor_ < 0) return std::nullopt;
  return lock;
}

std::optional<FileLock> FileLock::try_claim(const fs::path& path, bool& is_new) {
  int descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  is_new = descriptor >= 0;
  if (!is_new && errno != EEXIST) cannot("open", path, errno);
  if (!is_new) descriptor = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (descriptor < 0 && errno == ENOENT) return std::nullopt;  // its holder has just deleted it
  if (descriptor < 0) cannot("open", path, errno);
  const FileIdentity file = identity_of(descriptor);
  FileLock lock(try_take_open(path, descriptor, false));
  if (lock.descriptor_ < 0 || !is_at(path, file)) return std::nullopt;
  return lock;
}

FileLock::~FileLock() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

// A line of /proc/locks: "1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF", with process and device:inode.
bool is_locked_by(const fs::path& path, int64_t process) {
  return is_locked_file(path, process) || is_locked_file(substitute(path), process);
}

}  // namespace pixart
