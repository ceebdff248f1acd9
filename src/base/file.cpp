#include "pixart/base/file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "pixart/base/error.h"
#include "pixart/base/machine_fault.h"
#include "temporary_name.h"

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
  throw UserError(fmt::format("cannot {} {}: {}.{}", what, path.string(), std::strerror(error), remedy),
                  ExitCode::kStorage);
}

[[noreturn]] void read_error(const fs::path& path, int error) {
  check_machine(path, error);
  throw UserError(fmt::format("cannot read {}: {}.", path.string(), std::strerror(error)));
}

// Closes a descriptor at the end of a scope.
struct Descriptor {
  int value;
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
};

fs::path temporary_beside(const fs::path& path, std::string_view prefix = kTemporaryPrefix) {
  return path.parent_path() / temporary_name(path.filename(), prefix);
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
const fs::path& replaceable_by_file(const fs::path& path) {
  std::error_code ignored;
  const auto status = fs::symlink_status(path, ignored);
  if (fs::is_other(status) && !fs::is_symlink(status))
    throw UserError(path.string() + " is not a regular file and is not replaced. Choose another name.",
                    ExitCode::kStorage);
  return path;
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

}  // namespace

std::string read_file(const fs::path& path, uint64_t limit_bytes) {
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  struct stat info {};
  if (file.value < 0 || ::fstat(file.value, &info) != 0) read_error(path, errno);
  if (S_ISDIR(info.st_mode)) read_error(path, EISDIR);
  std::string bytes;
  bytes.reserve(std::min(uint64_t(info.st_size), limit_bytes));
  std::vector<char> buffer(1 << 18);
  while (true) {
    const ssize_t count = ::read(file.value, buffer.data(), buffer.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) read_error(path, errno);
    if (count == 0) return bytes;
    bytes.append(buffer.data(), size_t(count));
    if (bytes.size() > limit_bytes) {
      throw UserError(
          fmt::format("{} is larger than {} bytes, the limit for such a file.", path.string(), limit_bytes));
    }
  }
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
  const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
  if (file.value < 0) storage_error("open", path, errno);
  if (::fsync(file.value) != 0) storage_error("sync", path, errno);
}

OutputFile::OutputFile(fs::path path, fs::path shown, Durability durability)
    : path_(std::move(path)), shown_(shown.empty() ? path_ : std::move(shown)), durability_(durability) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
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
    : path_(std::move(path)),
      file_(temporary_beside(replaceable_by_file(path_)), path_, durability_of(path_, durability)) {}

AtomicFile::~AtomicFile() {
  if (!committed_) ::unlink(file_.path().c_str());
}

void AtomicFile::commit() {
  const bool is_now = file_.durability() == Durability::kNow;
  if (is_now) file_.sync();
  file_.close();  // file servers report here the data that they could not store
  rename_or_throw(file_.path(), path_);
  committed_ = true;
  if (is_now) sync_path(parent_of(path_));
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void create_folders(const fs::path& path) {
  std::error_code error;
  fs::create_directories(path, error);
  if (error) storage_error("create folder", path, error.value());
}

StagedFolder::StagedFolder(fs::path final_path) : final_(std::move(final_path)) {
  if (final_.filename().empty()) final_ = final_.parent_path();
  PIXART_CHECK(!final_.empty());
  require_no_file(final_);
  create_folders(parent_of(final_));
  temporary_ = temporary_beside(final_);
  if (::mkdir(temporary_.c_str(), 0777) != 0) storage_error("create folder", temporary_, errno);
}

StagedFolder::~StagedFolder() {
  std::error_code ignored;
  if (!committed_) fs::remove_all(temporary_, ignored);
}

void StagedFolder::commit(Durability durability) {
  PIXART_CHECK(!committed_);
  require_no_file(final_);
  const bool is_now = durability_of(final_, durability) == Durability::kNow;
  if (is_now) sync_tree(temporary_);
  const fs::path old = replace_folder(temporary_, final_);
  committed_ = true;
  if (is_now) sync_path(parent_of(final_));
  std::error_code ignored;  // a folder that cannot be deleted now is a leftover, see remove_leftovers()
  if (!old.empty()) fs::remove_all(old, ignored);
}

void delete_folder(const fs::path& path) {
  const fs::path doomed = temporary_beside(path, kDeletedPrefix);
  rename_or_throw(path, doomed);
  sync_path(parent_of(path));
  std::error_code ignored;  // a folder that cannot be deleted now is a leftover
  fs::remove_all(doomed, ignored);
}

}  // namespace pixart
