// Numbers in the bytes of files.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace pixart {

// The number in the `count` bytes (at most 8) from `at`, which the caller knows to be there.
inline uint64_t from_big_endian(std::string_view bytes, size_t at, int count) {
  uint64_t value = 0;
  for (int i = 0; i < count; ++i) value = value << 8 | uint8_t(bytes[at + size_t(i)]);
  return value;
}
inline uint64_t from_little_endian(std::string_view bytes, size_t at, int count) {
  uint64_t value = 0;
  for (int i = count - 1; i >= 0; --i) value = value << 8 | uint8_t(bytes[at + size_t(i)]);
  return value;
}

// The `count` low bytes of a number.
inline std::string little_endian(uint64_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i, value >>= 8) bytes += char(value);
  return bytes;
}

}  // namespace pixart
