#include "input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "pixart/base/machine_fault.h"

namespace pixart::formats {

InputFile::InputFile(std::filesystem::path path)
    : path_(std::move(path)), descriptor_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  struct stat info {};
  if (descriptor_ < 0) {
    check_machine(path_, errno);
    throw UserError(fmt::format("cannot read {}: {}.", name(), std::strerror(errno)));
  }
  if (::fstat(descriptor_, &info) != 0 || !S_ISREG(info.st_mode)) {
    ::close(descriptor_);
    throw UserError(fmt::format("cannot read {}: it is not a regular file.", name()));
  }
  bytes_ = uint64_t(info.st_size);
}

InputFile::InputFile(std::filesystem::path name, uint64_t bytes, ReadAt read)
    : path_(std::move(name)), bytes_(bytes), read_(std::move(read)) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::read(void* to, uint64_t count, uint64_t offset) const {
  constexpr uint64_t kLargestPiece = uint64_t{1} << 30;
  auto* out = static_cast<char*>(to);
  if (read_) return read_(out, count, offset);
  while (count > 0) {
    const ssize_t got = ::pread(descriptor_, out, std::min(count, kLargestPiece), off_t(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) check_machine(path_, errno);
    if (got <= 0) {
      throw UserError(fmt::format("cannot read {} at byte {}: {}.", name(), offset,
                                  got < 0 ? std::strerror(errno) : "the file ends early"),
                      got < 0 ? ExitCode::kStorage : ExitCode::kBadInput);
    }
    out += got, offset += uint64_t(got), count -= uint64_t(got);
  }
}

std::string InputFile::read(uint64_t count, uint64_t offset) const {
  if (offset > bytes_ || count > bytes_ - offset) {
    throw UserError(fmt::format("cannot read {} at byte {}: the file ends early.", name(), offset));
  }
  std::string piece(size_t(count), '\0');
  read(piece.data(), count, offset);
  return piece;
}

bool is_bare_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

std::string shown(std::string_view text) {
  constexpr size_t kLongest = 100;
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) out += uint8_t(c) < 0x20 || c == 0x7F ? '?' : c;
  return out + (text.size() > kLongest ? "...'" : "'");
}

}  // namespace pixart::formats
