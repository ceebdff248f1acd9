// A small precompiled character map, which replaces A by b, in parts that tests can damage.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/base/bytes.h"

namespace pixart::testing {

struct SmallCharacterMap {
  static constexpr size_t kRoot = 0, kLetter = 256 ^ 'A', kValue = 10;

  SmallCharacterMap() {
    units[kRoot] = 256 << 10;  // its children are at 256 ^ label
    units[kLetter] =
        uint32_t(kLetter ^ kValue) << 10 | 1 << 8 | 'A';  // a key ends here; the value is at kValue
    units[kValue] = 0x8000'0000;                          // the replacement at 0
  }
  std::string bytes() const {
    std::string trie;
    for (const uint32_t unit : units) trie += little_endian(unit, 4);
    return little_endian(trie.size(), 4) + trie + replacements;
  }

  std::vector<uint32_t> units = std::vector<uint32_t>(512, 0);
  std::string replacements = std::string("b\0", 2);
};

}  // namespace pixart::testing
