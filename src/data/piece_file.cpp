#include "piece_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "pixart/base/bytes.h"
#include "pixart/base/file.h"
#include "pixart/formats/crc32c.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// The content, the CRC32C of each block of it, and that of these sums.
constexpr uint64_t kBlock = 32 << 10;
constexpr uint64_t kSum = 4;

uint64_t blocks_in(uint64_t content) { return (content + kBlock - 1) / kBlock; }

class Descriptor {
 public:
  explicit Descriptor(const fs::path& file)
      : value_(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int operator()() const { return value_; }

 private:
  int value_;
};

bool read_all(int descriptor, char* to, uint64_t count, uint64_t offset) {
  while (count > 0) {
    const ssize_t got = ::pread(descriptor, to, count, off_t(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got, offset += uint64_t(got), count -= uint64_t(got);
  }
  return true;
}

// The sums of the blocks; "" if they are damaged.
std::string read_sums(int descriptor, uint64_t content) {
  const uint64_t bytes = (blocks_in(content) + 1) * kSum;
  std::string sums(bytes, '\0');
  struct stat status {};
  if (::fstat(descriptor, &status) != 0 || uint64_t(status.st_size) != content + bytes ||
      !read_all(descriptor, sums.data(), bytes, content))
    return {};
  const auto own = uint32_t(from_little_endian(sums, bytes - kSum, kSum));
  sums.resize(bytes - kSum);
  return formats::crc32c(sums) == own ? sums : "";
}

bool fits(std::string_view block, const std::string& sums, uint64_t index) {
  return formats::crc32c(block) == uint32_t(from_little_endian(sums, index * kSum, kSum));
}

}  // namespace

uint64_t piece_file_bytes(uint64_t content) { return content + (blocks_in(content) + 1) * kSum; }

void write_piece(const fs::path& file, std::string_view content) {
  std::string sums;
  for (uint64_t at = 0; at < content.size(); at += kBlock)
    sums += little_endian(formats::crc32c(content.substr(at, kBlock)), kSum);
  sums += little_endian(formats::crc32c(sums), kSum);
  AtomicFile out(file, Durability::kLater);
  out.write(content);
  out.write(sums);
  out.commit();
}

PieceState read_piece(const fs::path& file, uint64_t content, uint64_t offset, uint64_t count, char* to) {
  const Descriptor descriptor(file);
  if (descriptor() < 0) return PieceState::kMissing;
  const std::string sums = read_sums(descriptor(), content);
  const uint64_t first = offset / kBlock * kBlock;
  const uint64_t end = std::min(content, blocks_in(offset + count) * kBlock);
  std::string blocks(end - first, '\0');
  if (sums.empty() || !read_all(descriptor(), blocks.data(), blocks.size(), first))
    return PieceState::kDamaged;
  const std::string_view all = blocks;
  for (uint64_t at = first; at < end; at += kBlock)
    if (!fits(all.substr(at - first, kBlock), sums, at / kBlock)) return PieceState::kDamaged;
  std::memcpy(to, blocks.data() + (offset - first), count);
  return PieceState::kRead;
}

}  // namespace pixart::data
