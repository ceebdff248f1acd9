#include "pixart/base/utf8.h"

#include <cstdint>
#include <cstring>

#include "pixart/base/error.h"

namespace pixart {

namespace {

// The number of bytes of the well-formed character at `at` (`valid`), or of its longest well-formed
// beginning.
struct Extent {
  size_t length = 1;
  bool valid = false;
};

Extent extent_at(std::string_view bytes, size_t at) {
  const auto byte = [&](size_t i) { return i < bytes.size() ? uint8_t(bytes[i]) : uint8_t(0); };
  const uint8_t lead = byte(at);
  if (lead < 0x80) return {1, true};
  const size_t length = lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
  if (length == 0) return {1, false};
  const uint8_t low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const uint8_t high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (byte(at + 1) < low || byte(at + 1) > high) return {1, false};
  for (size_t i = 2; i < length; ++i)
    if ((byte(at + i) & 0xC0) != 0x80) return {i, false};
  return {length, true};
}

// The place from `at` on before which all bytes are ASCII, found eight bytes at a time.
size_t after_ascii(std::string_view text, size_t at) {
  constexpr uint64_t kHighBits = 0x8080808080808080;
  for (uint64_t eight = 0; at + sizeof eight <= text.size(); at += sizeof eight) {
    std::memcpy(&eight, text.data() + at, sizeof eight);
    if ((eight & kHighBits) != 0) break;
  }
  while (at < text.size() && uint8_t(text[at]) < 0x80) ++at;
  return at;
}

}  // namespace

size_t utf8_sequence(std::string_view text, size_t at) {
  if (at >= text.size()) return 0;
  const Extent extent = extent_at(text, at);
  return extent.valid ? extent.length : 0;
}

bool is_utf8(std::string_view text) {
  for (size_t at = after_ascii(text, 0); at < text.size(); at = after_ascii(text, at)) {
    const Extent extent = extent_at(text, at);
    if (!extent.valid) return false;
    at += extent.length;
  }
  return true;
}

bool is_ascii(std::string_view text) { return after_ascii(text, 0) == text.size(); }

bool is_utf16(std::string_view text) { return text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF"); }

void refuse_utf16(std::string_view text, const std::string& name) {
  if (is_utf16(text)) throw UserError(name + " is UTF-16. Save it as UTF-8.");
}

std::string replace_invalid_utf8(std::string_view bytes) {
  std::string text;
  text.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const Extent extent = extent_at(bytes, at);
    text += extent.valid ? bytes.substr(at, extent.length) : "\xEF\xBF\xBD";
    at += extent.length;
  }
  return text;
}

void append_utf8(std::string& text, char32_t code_point) {
  if (code_point < 0x80) {
    text += char(code_point);
    return;
  }
  const int more = code_point < 0x800 ? 1 : code_point < 0x10000 ? 2 : 3;
  constexpr uint8_t kLead[] = {0, 0xC0, 0xE0, 0xF0};
  text += char(kLead[more] | (code_point >> (6 * more)));
  for (int i = more - 1; i >= 0; --i) text += char(0x80 | ((code_point >> (6 * i)) & 0x3F));
}

}  // namespace pixart
