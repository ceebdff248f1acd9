// What the tests of file readers share.
#pragma once
#include <string>

#include "scratch_folder.h"

namespace pixart::formats {

using Folder = testing::ScratchFolder;
using testing::refusal;

// `count` bytes of `value`, least significant first; zeros where it has no more.
inline std::string little_endian(uint64_t value, int count) {
  std::string bytes;
  for (int i = 0; i < count; ++i) bytes += i < 8 ? char(value >> (8 * i)) : '\0';
  return bytes;
}

}  // namespace pixart::formats
