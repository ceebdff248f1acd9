#include <string>

#include "charmaps.h"
#include "fix_text.h"
#include "mojibake_patterns.h"
#include "pcre_regex.h"
#include "unicode.h"

namespace pixart::text {
namespace {

constexpr int kMaxSteps = 1000;

// Whether neighbouring characters look like UTF-8 that was read in a single-byte encoding.
bool is_bad(std::string_view text) {
  static const Regex kBad(bad_neighbours_pattern(), Regex::Subject::kUtf8, /*verbose=*/true);
  return kBad.search(text).has_value();
}

const Regex& mistaken_utf8() {
  static const Regex kPattern(mistaken_utf8_pattern(), Regex::Subject::kUtf8, /*verbose=*/true);
  return kPattern;
}

// Byte A0, a space in the wrong encoding, has often become a plain space. Restores it where UTF-8 needs it.
std::string restore_byte_a0(std::string bytes) {
  static const Regex kNeedsA0(
      "[\\xc2\\xc3\\xc5\\xce\\xd0\\xd9][ ]|[\\xe2\\xe3][ ][\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf]"
      "|[\\xe0-\\xe3][\\x80-\\x84\\x86-\\x9f\\xa1-\\xbf][ ]|\\xf0[ ][\\x80-\\xbf][\\x80-\\xbf]"
      "|\\xf0[\\x80-\\xbf][ ][\\x80-\\xbf]|\\xf0[\\x80-\\xbf][\\x80-\\xbf][ ]",
      Regex::Subject::kBytes);
  static const Regex kGraveWord("\\xc3 (?! |quele|quela|quilo|s )", Regex::Subject::kBytes);
  if (!kNeedsA0.search(bytes)) return bytes;
  kGraveWord.replace(bytes, "\xc3\xa0 ");
  return kNeedsA0.replace_each(bytes, [&](const Regex::Match& found) {
    std::string restored(found.of(bytes));
    for (char& c : restored)
      if (c == ' ') c = '\xa0';
    return restored;
  });
}

// Replaces UTF-8 sequences with lost bytes (1A, or one "?") by U+FFFD.
std::string replace_lossy_sequences(std::string bytes) {
  static const Regex kLossy(
      "[\\xc2-\\xdf]\\x1a|[\\xc2-\\xc3]\\?"
      "|\\xed[\\xa0-\\xaf][\\x1a?]\\xed[\\xb0-\\xbf][\\x1a?\\x80-\\xbf]"
      "|\\xed[\\xa0-\\xaf][\\x1a?\\x80-\\xbf]\\xed[\\xb0-\\xbf][\\x1a?]"
      "|[\\xe0-\\xef][\\x1a?][\\x1a\\x80-\\xbf]|[\\xe0-\\xef][\\x1a\\x80-\\xbf][\\x1a?]"
      "|[\\xf0-\\xf4][\\x1a?][\\x1a\\x80-\\xbf][\\x1a\\x80-\\xbf]"
      "|[\\xf0-\\xf4][\\x1a\\x80-\\xbf][\\x1a?][\\x1a\\x80-\\xbf]"
      "|[\\xf0-\\xf4][\\x1a\\x80-\\xbf][\\x1a\\x80-\\xbf][\\x1a?]|\\x1a",
      Regex::Subject::kBytes);
  kLossy.replace(bytes, "\xef\xbf\xbd");
  return bytes;
}

// Decodes UTF-8, or its variants that write NUL as C0 80 (for ftfy also as C0 and the last line break) and
// other planes as two encoded surrogates.
std::optional<std::string> decode_utf8_variants(std::string bytes) {
  static const Regex kVariant(
      "\\xc0(?:\\x80|\\n\\z)|\\xed([\\xa0-\\xaf][\\x80-\\xbf]\\xed[\\xb0-\\xbf][\\x80-\\xbf])",
      Regex::Subject::kBytes);
  const std::string text = kVariant.replace_each(bytes, [&](const Regex::Match& found) {
    const auto pair = found.of(bytes, 1);
    if (pair.empty()) return std::string(1, '\0');
    std::string character;
    append_utf8(character, 0x10000 + ((uint8_t(pair[0]) & 0x0Fu) << 16 | (uint8_t(pair[1]) & 0x3Fu) << 10 |
                                      (uint8_t(pair[3]) & 0x0Fu) << 6 | (uint8_t(pair[4]) & 0x3Fu)));
    return character;
  });
  return is_utf8(text) ? std::optional(text) : std::nullopt;
}

// Reads the bytes of a text in the encoding `map` as UTF-8.
std::optional<std::string> decode_again(const Charmap& map, std::string bytes) {
  if (map.name != "macroman")
    bytes = restore_byte_a0(std::move(bytes));  // in macroman it would match a dash and a space
  if (map.sloppy) bytes = replace_lossy_sequences(std::move(bytes));
  return decode_utf8_variants(std::move(bytes));
}

// Repairs mistaken UTF-8 in the middle of other text.
std::string fix_embedded(const std::string& text) {
  return mistaken_utf8().replace_each(text, [&](const Regex::Match& found) {
    std::string part(found.of(text));
    return part.size() < text.size() && is_bad(part) ? fix_encoding(std::move(part)) : part;
  });
}

// One step of ftfy's _fix_encoding_one_step_and_explain().
std::string fix_encoding_once(const std::string& text) {
  if (is_ascii(text) || !is_bad(text)) return text;
  for (const Charmap& map : charmaps()) {
    auto bytes = map.encode(text);
    if (!bytes) continue;
    if (auto fixed = decode_again(map, std::move(*bytes))) return *fixed;
  }
  if (std::string fixed = fix_embedded(text); fixed != text) return fixed;
  return fix_c1_controls(text);
}

}  // namespace

std::string fix_encoding(std::string text) {
  for (int step = 0; step < kMaxSteps; ++step) {
    std::string fixed = fix_encoding_once(text);
    if (fixed == text) break;
    text = std::move(fixed);
  }
  return text;
}

}  // namespace pixart::text
