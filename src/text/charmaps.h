// Single-byte encodings for which UTF-8 is mistaken, in the order in which they are tried.
#pragma once
#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pixart::text {

// Bytes below 0x80 are ASCII, except that 0x1A means U+FFFD in the sloppy (Windows) encodings. In these, an
// unassigned byte is the control character of the same number.
struct Charmap {
  std::string_view name;
  bool sloppy;
  std::array<char16_t, 128> high;  // meaning of bytes 0x80..0xFF

  std::optional<std::string> encode(std::string_view text) const;  // nothing if a character has no byte
};

std::span<const Charmap> charmaps();  // Latin-1 first
const Charmap& windows_1252();

}  // namespace pixart::text
