#include "read_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "pixart/base/machine_fault.h"
#include "pixart/formats/image_file.h"
#include "remote_file.h"

namespace pixart::data {

namespace {

[[noreturn]] void fail(const std::filesystem::path& file, int error) {
  check_machine(file, error);
  throw ReadFault{Reason::kUnreadableFile, std::strerror(error)};
}

// The number of bytes to read of a file of `size` bytes.
uint64_t checked_count(uint64_t size, uint64_t offset, uint64_t bytes) {
  if (bytes == 0) bytes = size;
  const uint64_t limit = formats::DecodeLimits().file_bytes;
  if (bytes == 0) throw ReadFault{Reason::kEmptyFile, "the file is empty"};
  if (bytes > limit)
    throw ReadFault{Reason::kImageTooLarge,
                    fmt::format("{} bytes are more than the limit of {} for an image", bytes, limit)};
  if (offset > size || bytes > size - offset)
    throw ReadFault{Reason::kDamagedArchive,
                    fmt::format("the file ends at byte {}, but the sample at byte {}", size, offset + bytes)};
  return bytes;
}

}  // namespace

OpenedFile::OpenedFile(const std::filesystem::path& file)
    : file_(file),
      remote_(remote_file(file)),
      descriptor_(remote_ ? -1 : ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (remote_ || descriptor_ >= 0) return;
  check_machine(file, errno);
  throw ReadFault{errno == ENOENT || errno == ENOTDIR ? Reason::kMissingFile : Reason::kUnreadableFile,
                  std::strerror(errno)};
}

OpenedFile::~OpenedFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

uint64_t OpenedFile::size() const {
  if (remote_) return remote_->bytes();
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) fail(file_, errno);
  if (!S_ISREG(status.st_mode)) throw ReadFault{Reason::kUnreadableFile, "it is not a regular file"};
  return uint64_t(status.st_size);
}

std::string OpenedFile::read(uint64_t offset, uint64_t bytes) const {
  bytes = checked_count(size(), offset, bytes);
  std::string result = read_some(offset, bytes);
  if (result.size() < bytes)
    throw ReadFault{Reason::kUnreadableFile, "the file was shortened while it was read"};
  return result;
}

std::string OpenedFile::read_some(uint64_t offset, uint64_t most) const {
  if (remote_) most = std::min(most, remote_->bytes() - std::min(offset, remote_->bytes()));
  std::string result(most, '\0');
  if (remote_) {
    remote_->read(result.data(), most, offset);
    return result;
  }
  uint64_t done = 0;
  while (done < most) {
    const ssize_t got = ::pread(descriptor_, result.data() + done, most - done, off_t(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(file_, errno);
    if (got == 0) break;
    done += uint64_t(got);
  }
  result.resize(done);
  return result;
}

std::string read_again(const std::filesystem::path& file, const std::function<std::string()>& read) {
  std::string result;
  retry_machine_faults("read " + file.string(), [&] { result = read(); });
  return result;
}

std::string read_bytes(const std::filesystem::path& file, uint64_t offset, uint64_t bytes) {
  return read_again(file, [&] { return OpenedFile(file).read(offset, bytes); });
}

}  // namespace pixart::data
