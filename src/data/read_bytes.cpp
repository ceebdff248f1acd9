#include "read_bytes.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "pixart/base/machine_fault.h"
#include "pixart/formats/image_file.h"

namespace pixart::data {

namespace {

class Descriptor {
 public:
  explicit Descriptor(const std::filesystem::path& file)
      : value_(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {  // does not wait for pipes
    if (value_ >= 0) return;
    check_machine(file, errno);
    throw ReadFault{errno == ENOENT || errno == ENOTDIR ? Reason::kMissingFile : Reason::kUnreadableFile,
                    std::strerror(errno)};
  }
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int operator()() const { return value_; }

 private:
  int value_;
};

[[noreturn]] void fail(const std::filesystem::path& file, int error) {
  check_machine(file, error);
  throw ReadFault{Reason::kUnreadableFile, std::strerror(error)};
}

std::string read_once(const std::filesystem::path& file, uint64_t offset, uint64_t bytes) {
  const Descriptor descriptor(file);
  struct stat status {};
  if (::fstat(descriptor(), &status) != 0) fail(file, errno);
  if (!S_ISREG(status.st_mode)) throw ReadFault{Reason::kUnreadableFile, "it is not a regular file"};
  const auto size = uint64_t(status.st_size);
  const bool whole = bytes == 0;
  if (whole) bytes = size;
  const uint64_t limit = formats::DecodeLimits().file_bytes;
  if (bytes == 0) throw ReadFault{Reason::kEmptyFile, "the file is empty"};
  if (bytes > limit)
    throw ReadFault{Reason::kImageTooLarge,
                    fmt::format("{} bytes are more than the limit of {} for an image", bytes, limit)};
  if (offset > size || bytes > size - offset)
    throw ReadFault{Reason::kDamagedArchive,
                    fmt::format("the file ends at byte {}, but the sample at byte {}", size, offset + bytes)};
  std::string result(bytes, '\0');
  for (uint64_t done = 0; done < bytes;) {
    const ssize_t got = ::pread(descriptor(), result.data() + done, bytes - done, off_t(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail(file, errno);
    if (got == 0) throw ReadFault{Reason::kUnreadableFile, "the file was shortened while it was read"};
    done += uint64_t(got);
  }
  return result;
}

}  // namespace

std::string read_bytes(const std::filesystem::path& file, uint64_t offset, uint64_t bytes) {
  std::string result;
  retry_machine_faults("read " + file.string(), [&] { result = read_once(file, offset, bytes); });
  return result;
}

}  // namespace pixart::data
