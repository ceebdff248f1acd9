#include "pixart/base/file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <utility>
#include <vector>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/machine_fault.h"
#include "temporary_name.h"
#include "writer_lock.h"

namespace pixart {
namespace fs = std::filesystem;

namespace {

[[noreturn]] void storage_error(const std::string& what, const fs::path& path, int error) {
  const char* remedy = "";
  if (error == ENOSPC || error == EDQUOT) remedy = " Free some space and start the same command again.";
  if (error == EFBIG) remedy = " The system limits the size of files (ulimit -f).";
  if (error == EACCES || error == EPERM || error == EROFS) remedy = " Choose a folder that you may write to.";
  if (error == ENOENT) remedy = " The parent folder does not exist.";
  if (error == EIO) remedy = " The disk or its file server has a fault.";
  if (is_shortage(error))
    throw UserError(
        fmt::format("cannot {} {}: {}. {}", what, path.string(), reason_of(error), remedy_of(error)),
        ExitCode::kDevice);
  throw UserError(fmt::format("cannot {} {}: {}.{}", what, path.string(), reason_of(error), remedy),
                  ExitCode::kStorage);
}

[[noreturn]] void read_error(const fs::path& path, int error) {
  check_machine(path, error);
  throw UserError(fmt::format("cannot read {}: {}.", path.string(), reason_of(error)));
}

// Closes a descriptor at the end of a scope.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

fs::path temporary_beside(const fs::path& path) {
  return path.parent_path() / temporary_name(path.filename(), kTemporaryPrefix);
}

fs::path parent_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

void write_all(int descriptor, std::string_view bytes, const fs::path& path) {
  // With larger pieces the system looks for larger blocks of free memory. In a virtual machine this is up to
  // twice as slow, because the host has to find them first.
  constexpr size_t kPiece = size_t{256} << 10;
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor, bytes.data(), std::min(bytes.size(), kPiece));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) storage_error("write", path, errno);
    bytes.remove_prefix(size_t(written));
  }
}

// A rename replaces whatever has the name, even a pipe or /dev/null, so other kinds of files are refused.
void require_replaceable_by_file(const fs::path& path) {
  std::error_code ignored;
  const auto status = fs::symlink_status(path, ignored);
  if (fs::is_other(status) && !fs::is_symlink(status))
    throw UserError(path.string() + " is not a regular file and is not replaced. Choose another name.",
                    ExitCode::kStorage);
}

void require_no_file(const fs::path& path) {
  std::error_code ignored;
  const auto status = fs::symlink_status(path, ignored);
  if (fs::exists(status) && !fs::is_directory(status) && !fs::is_symlink(status))
    throw UserError(path.string() + " is a file and is not replaced by a folder. Choose another name.",
                    ExitCode::kStorage);
}

Durability durability_of(const fs::path& target, Durability wanted) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(target, ignored)) ? Durability::kNow : wanted;
}

void rename_or_throw(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) storage_error("rename to", to, errno);
}

// Renames `staged` to `target`. Returns the path of the old folder now, or an empty path if there was none.
fs::path replace_folder(const fs::path& staged, const fs::path& target) {
  if (::renameat2(AT_FDCWD, staged.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return staged;
  std::error_code error;
  if (!fs::exists(fs::symlink_status(target, error))) {
    rename_or_throw(staged, target);
    return {};
  }
  // File systems without exchange (NFS): for a moment neither folder has the name `target`. If the second
  // rename fails, the old folder gets its name back.
  const fs::path old = temporary_beside(target);
  WriterLock lock;  // nobody takes it for a leftover
  lock.take_folder(target);
  rename_or_throw(target, old);
  if (::rename(staged.c_str(), target.c_str()) == 0) return old;
  const int reason = errno;
  rename_or_throw(old, target);
  storage_error("rename to", target, reason);
}

void sync_tree(const fs::path& folder) {
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    if (at->is_regular_file() || at->is_directory()) sync_path(at->path());
  }
  if (error) storage_error("list", folder, error.value());
  sync_path(folder);
}

// As of /dev/stdin and <(command). It has a writer, unlike a pipe in a folder, for which nobody may ever write.
bool is_nameless_pipe(int descriptor) {
  std::error_code error;
  return fs::read_symlink(fmt::format("/proc/self/fd/{}", descriptor), error).string().starts_with("pipe:[");
}

// Waits until a pipe or a terminal has bytes, or no writer.
void wait_for_bytes(int descriptor, const fs::path& path) {
  constexpr int kMilliseconds = 100;
  pollfd entry{descriptor, POLLIN, 0};
  for (int ready = 0; ready <= 0;) {
    ready = ::poll(&entry, 1, kMilliseconds);
    if (ready < 0 && errno != EINTR) read_error(path, errno);
    if (ready <= 0 && stop_requested())
      throw UserError(fmt::format("stopped on request while {} was read.", path.string()),
                      ExitCode::kRequeue);
  }
}

}  // namespace

void require_no_pipe(const fs::path& path, ExitCode code) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode)))
    throw UserError(fmt::format("cannot read {}: {}.", path.string(), reason_of(ESPIPE)), code);
}

std::string read_file(const fs::path& path, uint64_t limit_bytes) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat info {};
  if (file.value < 0 || ::fstat(file.value, &info) != 0) read_error(path, errno);
  if (S_ISDIR(info.st_mode)) read_error(path, EISDIR);
  if (S_ISFIFO(info.st_mode) && !is_nameless_pipe(file.value)) read_error(path, ESPIPE);
  std::string bytes;
  bytes.reserve(std::min(uint64_t(info.st_size), limit_bytes));
  std::vector<char> buffer(1 << 18);
  while (true) {
    if (!S_ISREG(info.st_mode)) wait_for_bytes(file.value, path);
    const ssize_t count = ::read(file.value, buffer.data(), buffer.size());
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) read_error(path, errno);
    if (count == 0) return bytes;
    bytes.append(buffer.data(), size_t(count));
    if (bytes.size() > limit_bytes) {
      throw UserError(
          fmt::format("{} is larger than {} bytes, the limit for such a file.", path.string(), limit_bytes));
    }
  }
}

void append_to_file(const fs::path& path, std::string_view bytes) {
  const Descriptor file{::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0666)};
  struct stat info {};
  if (file.value < 0 || ::fstat(file.value, &info) != 0) storage_error("open", path, errno);
  if (S_ISFIFO(info.st_mode)) storage_error("open", path, ESPIPE);
  write_all(file.value, bytes, path);
}

fs::path link_target(fs::path path) {
  constexpr int kMostLinks = 40;  // the same limit as Linux
  if (path.filename().empty() && path.has_parent_path()) path = path.parent_path();
  std::error_code error;
  for (int links = 0; fs::is_symlink(path, error); ++links) {
    if (links == kMostLinks) storage_error("follow the links of", path, ELOOP);
    const fs::path next = fs::read_symlink(path, error);
    if (error) storage_error("read the link", path, error.value());
    path = next.is_absolute() ? next : path.parent_path() / next;
    if (path.filename().empty() && path.has_parent_path()) path = path.parent_path();
  }
  return path;
}

void sync_path(const fs::path& path) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (file.value < 0) storage_error("open", path, errno);
  if (::fsync(file.value) != 0) storage_error("sync", path, errno);
}

OutputFile::OutputFile(fs::path path, fs::path shown, Durability durability)
    : path_(std::move(path)), shown_(shown.empty() ? path_ : std::move(shown)), durability_(durability) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) storage_error("create", shown_, errno);
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::write(std::string_view bytes) {
  write_all(descriptor_, bytes, shown_);
  size_ += bytes.size();
  // The disk starts to write now, not at sync(). If that fails now, fsync repeats it or reports the error.
  constexpr uint64_t kFlushBytes = uint64_t{32} << 20;
  if (durability_ == Durability::kLater || size_ - flushed_ < kFlushBytes) return;
  ::sync_file_range(descriptor_, off_t(flushed_), off_t(size_ - flushed_), SYNC_FILE_RANGE_WRITE);
  flushed_ = size_;
}

void OutputFile::rewrite(uint64_t offset, std::string_view bytes) {
  PIXART_CHECK(offset + bytes.size() <= size_, "{} bytes at {} of {}", bytes.size(), offset, size_);
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(descriptor_, bytes.data(), bytes.size(), off_t(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) storage_error("write", shown_, errno);
    bytes.remove_prefix(size_t(written));
    offset += uint64_t(written);
  }
}

void OutputFile::sync() {
  if (::fsync(descriptor_) != 0) storage_error("write", shown_, errno);
}

void OutputFile::close() {
  const int descriptor = std::exchange(descriptor_, -1);
  if (descriptor >= 0 && ::close(descriptor) != 0) storage_error("write", shown_, errno);
}

AtomicFile::AtomicFile(fs::path path, Durability durability)
    : path_(std::move(path)), lock_(std::make_unique<WriterLock>()) {
  require_replaceable_by_file(path_);
  remove_lost_files(path_);
  do file_.emplace(temporary_beside(path_), path_, durability_of(path_, durability));
  while (!lock_->take_file(file_->path(), file_->descriptor()));
}

AtomicFile::~AtomicFile() {
  if (!committed_) delete_file(file_->path());
}

void AtomicFile::commit() {
  const bool is_now = file_->durability() == Durability::kNow;
  if (is_now) file_->sync();
  file_->close();  // file servers report here the data that they could not store
  rename_or_throw(file_->path(), path_);
  committed_ = true;
  lock_.reset();
  if (is_now) sync_path(parent_of(path_));
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

namespace {

// File systems without hard links (some of FUSE, object stores).
bool lacks_links(int error) {
  return error == EPERM || error == EOPNOTSUPP || error == ENOSYS || error == EMLINK;
}

}  // namespace

bool publish_file(const fs::path& made, const fs::path& path) {
  const int error = ::link(made.c_str(), path.c_str()) == 0 ? 0 : errno;
  if (error != 0 && error != EEXIST && !lacks_links(error)) storage_error("rename to", path, error);
  std::error_code ignored;
  const bool is_first = error == 0 || (error != EEXIST && !fs::exists(path, ignored));
  if (is_first && error != 0)
    rename_or_throw(made, path);
  else if (!delete_file(made))
    storage_error("delete", made, errno);
  sync_path(parent_of(path));
  return is_first;
}

bool replace_by_link(const fs::path& file, const fs::path& same) {
  const fs::path linked = temporary_beside(file);
  if (::link(same.c_str(), linked.c_str()) != 0) return false;
  if (::rename(linked.c_str(), file.c_str()) == 0) return true;
  delete_file(linked);
  return false;
}

void create_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) storage_error("create folder", path, error.value());
}

namespace {

constexpr size_t kLeastDigits = 4, kMostDigits = 9;

int64_t highest_number(const fs::path& folder) {
  int64_t highest = 0;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename();
    const bool is_number = name.size() >= kLeastDigits && name.size() <= kMostDigits &&
                           name.find_first_not_of("0123456789") == std::string::npos;
    if (is_number) highest = std::max<int64_t>(highest, std::stoll(name));
  }
  if (error) storage_error("list", folder, error.value());
  return highest;
}

}  // namespace

fs::path create_numbered_folder(const fs::path& parent) {
  create_folders(parent);
  for (int64_t number = highest_number(parent) + 1;; ++number) {
    const fs::path path = parent / fmt::format("{:0{}}", number, kLeastDigits);
    if (::mkdir(path.c_str(), 0777) == 0) return path;
    if (errno != EEXIST) storage_error("create folder", path, errno);
  }
}

StagedFolder::StagedFolder(fs::path final_path, ForeignEntries foreign)
    : final_(std::move(final_path)), lock_(std::make_unique<WriterLock>()), foreign_(std::move(foreign)) {
  if (final_.filename().empty()) final_ = final_.parent_path();
  PIXART_CHECK(!final_.empty());
  require_no_file(final_);
  create_folders(parent_of(final_));
  do {
    temporary_ = temporary_beside(final_);
    if (::mkdir(temporary_.c_str(), 0777) != 0) storage_error("create folder", temporary_, errno);
  } while (!lock_->take_folder(temporary_));
}

StagedFolder::~StagedFolder() {
  if (!committed_) delete_tree(temporary_, [](const fs::path&) { return std::vector<std::string>(); });
}

void StagedFolder::commit(Durability durability) {
  PIXART_CHECK(!committed_);
  require_no_file(final_);
  require_no_foreign(final_, foreign_);
  const bool is_now = durability_of(final_, durability) == Durability::kNow;
  if (is_now) sync_tree(temporary_);
  const fs::path old = replace_folder(temporary_, final_);
  committed_ = true;
  lock_.reset();
  if (is_now) sync_path(parent_of(final_));
  if (!old.empty()) delete_tree(old, foreign_);  // what cannot be deleted now is a leftover
  remove_lost_folders(final_, foreign_);         // not before: one may be the only one that was complete
}

}  // namespace pixart
