#include "line_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/machine_fault.h"
#include "pixart/base/words.h"

namespace pixart::run {
namespace fs = std::filesystem;

namespace {

// More bytes than these that the system has accepted are made durable and released.
constexpr size_t kReleaseBytes = size_t{1} << 20;

bool ends_with_a_line(int descriptor, int64_t size) {
  char last = '\n';
  return size == 0 || ::pread(descriptor, &last, 1, size - 1) != 1 || last == '\n';
}

}  // namespace

LineFile::LineFile(fs::path path, int64_t most_bytes, DroppedLine dropped_line)
    : path_(std::move(path)), most_bytes_(most_bytes), dropped_line_(std::move(dropped_line)) {
  if (open() || dropped_line_) return;
  throw UserError(problem_, is_shortage(error_) ? ExitCode::kDevice : ExitCode::kStorage);
}

// Does not open the file again: it may belong to another process by now.
LineFile::~LineFile() {
  if (!kept_.empty() && (descriptor_ < 0 || !flush()))
    log::warning("{} lines ({}) of {} were never written", num_waiting(), human_bytes(kept_.size()),
                 path_.string());
  close();
}

bool LineFile::open() {
  if (descriptor_ >= 0) return true;
  descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  struct stat status {};
  if (descriptor_ < 0 || ::fstat(descriptor_, &status) != 0) return fail("open", errno);
  if (S_ISFIFO(status.st_mode)) return fail("open", ESPIPE);
  begin(status);
  return true;
}

void LineFile::begin(const struct ::stat& status) {
  if (has_begun_ && status.st_ino == inode_ && status.st_size >= durable_) return;
  if (has_begun_ && !dropped_line_)
    throw UserError(fmt::format("{} was removed or replaced while the run wrote it.", path_.string()),
                    ExitCode::kStorage);
  inode_ = status.st_ino;
  durable_ = status.st_size;
  if (!ends_with_a_line(descriptor_, durable_)) kept_.insert(0, "\n");
  has_begun_ = true;
}

void LineFile::append(const std::string& line) {
  kept_ += line + "\n";
  if (!flush()) return drop_oldest();
  if (kept_.size() >= std::min(kReleaseBytes, size_t(most_bytes_) / 2)) flush_and_sync();
}

// Writes at a place and not at the end: after an error all of it is written again, over what came through.
bool LineFile::flush() {
  if (!open()) return false;
  while (written_ < kept_.size()) {
    const ssize_t count = ::pwrite(descriptor_, kept_.data() + written_, kept_.size() - written_,
                                   off_t(durable_) + off_t(written_));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail("write", count < 0 ? errno : ENOSPC);
    written_ += size_t(count);
  }
  return true;
}

bool LineFile::flush_and_sync() {
  if (!flush()) return false;
  if (::fsync(descriptor_) != 0) return fail("sync", errno);
  if (!std::exchange(problem_, {}).empty())
    log::info("{} is written again: {} lines had waited{}", path_.string(), num_waiting(),
              dropped_ > 0 ? fmt::format("; {} older ones are lost", dropped_) : "");
  durable_ += int64_t(kept_.size());
  kept_.clear();
  written_ = 0;
  dropped_ = 0;
  return true;
}

void LineFile::check_place() const {
  struct stat own {
  }, now{};
  const bool is_same = ::fstat(descriptor_, &own) == 0 && ::stat(path_.c_str(), &now) == 0 &&
                       own.st_dev == now.st_dev && own.st_ino == now.st_ino;
  if (!is_same)
    throw UserError(fmt::format("{} was removed or replaced while the run wrote it.", path_.string()),
                    ExitCode::kStorage);
}

std::string LineFile::sync() {
  if (!flush_and_sync())
    return fmt::format("{} {} lines ({}) of it wait in memory.", problem_, num_waiting(),
                       human_bytes(kept_.size()));
  try {
    check_place();
  } catch (const UserError& error) {
    if (!dropped_line_) throw;
    close();
    has_begun_ = false;
    return error.what();
  }
  return "";
}

// Always false. The file is opened again next time: a file server that was away may have made it stale.
bool LineFile::fail(const std::string& what, int error) {
  const bool is_first = problem_.empty();
  error_ = error;
  problem_ = fmt::format("cannot {} {}: {}.{}", what, path_.string(), reason_of(error),
                         is_shortage(error) ? std::string(" ") + remedy_of(error) : "");
  if (is_first && (has_begun_ || dropped_line_))
    log::warning("{} Its lines wait in memory (at most {}) and are written later.", problem_,
                 human_bytes(uint64_t(most_bytes_)));
  close();
  written_ = 0;
  return false;
}

void LineFile::close() {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

// To half of the bound, so that it is not done for each line.
void LineFile::drop_oldest() {
  if (!dropped_line_ || !is_full()) return;
  if (dropped_ > 0) kept_.erase(0, kept_.find('\n') + 1);  // the line about those dropped before
  const size_t end = kept_.find('\n', kept_.size() / 2) + 1;
  dropped_ += std::count(kept_.begin(), kept_.begin() + ptrdiff_t(end), '\n');
  kept_.replace(0, end, dropped_line_(dropped_) + "\n");
  // Bytes of the dropped lines that came through must not follow the shorter text.
  if (has_begun_) (void)!::truncate(path_.c_str(), off_t(durable_));
}

int64_t LineFile::num_waiting() const { return std::count(kept_.begin(), kept_.end(), '\n'); }

std::string LineFile::content() const {
  std::string text = fs::exists(path_) ? read_file(path_) : "";
  text.resize(std::min(text.size(), size_t(durable_)));
  return text + kept_;
}

void LineFile::replace(const std::string& content) {
  write_file_atomically(path_, content);
  close();
  kept_.clear();
  written_ = 0;
  has_begun_ = false;
  open();
}

}  // namespace pixart::run
