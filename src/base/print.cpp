#include "pixart/base/print.h"

#include <algorithm>
#include <cstdint>
#include <cstdio>

#include "pixart/base/utf8.h"

namespace pixart {

namespace {

// The code point of a valid sequence.
uint32_t code_point(std::string_view sequence) {
  constexpr uint32_t kLeadBits[] = {0, 0x7F, 0x1F, 0x0F, 0x07};
  uint32_t value = uint8_t(sequence[0]) & kLeadBits[sequence.size()];
  for (const char c : sequence.substr(1)) value = value << 6 | (uint8_t(c) & 0x3F);
  return value;
}

bool is_obeyed(uint32_t code) {
  struct Range {
    uint32_t first, last;
  };
  constexpr Range kRanges[] = {{0x00, 0x1F},     {0x7F, 0x9F},     {0x061C, 0x061C},
                               {0x200E, 0x200F}, {0x2028, 0x202E}, {0x2066, 0x2069}};
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [code](const Range& range) { return code >= range.first && code <= range.last; });
}

std::string visible(uint32_t code) {
  if (code == '\n') return "\\n";
  return code < 0x80 ? fmt::format("\\x{:02x}", code) : fmt::format("\\u{:04x}", code);
}

void write(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

// Replaces the characters that a terminal obeys, except those for which `keep` is true.
template <class Keep, class Shown>
std::string replaced(std::string_view text, Keep keep, Shown shown) {
  std::string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t length = utf8_sequence(text, at);
    const auto piece = text.substr(at, std::max<size_t>(1, length));
    at += piece.size();
    if (length == 0)
      result += fmt::format("\\x{:02x}", uint8_t(piece[0]));
    else if (const uint32_t code = code_point(piece); !is_obeyed(code) || keep(code))
      result += piece;
    else
      result += shown(code);
  }
  return result;
}

}  // namespace

std::string printable(std::string_view text, LineBreaks breaks) {
  return replaced(
      text, [breaks](uint32_t code) { return code == '\t' || (code == '\n' && breaks == LineBreaks::kKept); },
      visible);
}

void print_text(std::string_view text) { write(printable(text, LineBreaks::kKept)); }

void flush_printed() { std::fflush(stdout); }

void print_json(std::string_view json) {
  write(replaced(
            json, [](uint32_t code) { return code == '\n' || code == '\t'; },
            [](uint32_t code) { return fmt::format("\\u{:04x}", code); }) +
        "\n");
}

}  // namespace pixart
