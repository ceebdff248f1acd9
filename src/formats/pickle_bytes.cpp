#include "pickle_bytes.h"

#include <algorithm>

#include "pixart/base/error.h"

namespace pixart::formats {

PickleBytes::PickleBytes(const InputFile& file, uint64_t begin, uint64_t end)
    : file_(file), at_(begin), end_(std::min(end, file.bytes())), buffer_begin_(begin) {
  PIXART_CHECK(begin <= end_);
}

void PickleBytes::fail(uint64_t where, const std::string& reason) const {
  throw UserError(
      fmt::format("{}: byte {}: {}. Nothing of the file was executed.", file_.name(), where, reason));
}

uint8_t PickleBytes::byte() {
  constexpr uint64_t kPiece = 1 << 16;
  if (at_ == end_) fail(at_, "the pickle ends early");
  if (at_ - buffer_begin_ >= buffer_.size()) {
    buffer_ = file_.read(std::min(kPiece, end_ - at_), at_);
    buffer_begin_ = at_;
  }
  return uint8_t(buffer_[size_t(at_++ - buffer_begin_)]);
}

uint64_t PickleBytes::little_endian(int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; ++i) value |= uint64_t(byte()) << (8 * i);
  return value;
}

std::string PickleBytes::text(uint64_t count) {
  constexpr uint64_t kLongest = uint64_t{16} << 20;
  if (count > left()) fail(at_, fmt::format("{} bytes are announced, {} are left", count, left()));
  if (count > kLongest) fail(at_, fmt::format("a text of {} bytes is over the limit of {}", count, kLongest));
  std::string out(size_t(count), '\0');
  for (char& c : out) c = char(byte());
  return out;
}

std::string PickleBytes::line() {
  constexpr size_t kLongest = 256;
  std::string out;
  while (true) {
    const char c = char(byte());
    if (c == '\n') return out;
    if (out.size() == kLongest) fail(at_, "a name does not end");
    out += c;
  }
}

}  // namespace pixart::formats
