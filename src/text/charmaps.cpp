#include "charmaps.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "unicode.h"

namespace pixart::text {
namespace {

constexpr Charmap kCharmaps[] = {
#include "charmaps.inc"
};
constexpr char32_t kReplacement = 0xFFFD, kSubstitute = 0x1A;

struct CodeAndByte {
  char16_t code;
  uint8_t byte;
  bool operator<(const CodeAndByte& other) const { return code < other.code; }
};
using Inverse = std::vector<CodeAndByte>;  // sorted by code

const Inverse& inverse_of(const Charmap& map) {
  static const std::vector<Inverse> kInverses = [] {
    std::vector<Inverse> all;
    for (const Charmap& each : kCharmaps) {
      Inverse inverse;
      for (size_t i = 0; i < each.high.size(); ++i) inverse.push_back({each.high[i], uint8_t(0x80 + i)});
      std::sort(inverse.begin(), inverse.end());
      all.push_back(std::move(inverse));
    }
    return all;
  }();
  return kInverses[size_t(&map - kCharmaps)];
}

}  // namespace

std::span<const Charmap> charmaps() { return kCharmaps; }
const Charmap& windows_1252() { return kCharmaps[1]; }

std::optional<std::string> Charmap::encode(std::string_view text) const {
  const Inverse& inverse = inverse_of(*this);
  std::string bytes;
  for (size_t at = 0; at < text.size();) {
    char32_t c = next_code_point(text, at);
    if (sloppy && (c == kReplacement || c == kSubstitute)) {
      if (c == kSubstitute) return std::nullopt;
      c = kSubstitute;
    } else if (c >= 0x80) {
      if (c > 0xFFFF) return std::nullopt;
      const auto found = std::lower_bound(inverse.begin(), inverse.end(), CodeAndByte{char16_t(c), 0});
      if (found == inverse.end() || found->code != c) return std::nullopt;
      c = found->byte;
    }
    bytes += char(c);
  }
  return bytes;
}

}  // namespace pixart::text
