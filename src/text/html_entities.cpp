#include "html_entities.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>

#include "charmaps.h"
#include "pcre_regex.h"
#include "unicode.h"

namespace pixart::text {
namespace {

constexpr HtmlEntity kEntities[] = {
#include "html_entities.inc"
};
constexpr size_t kLongestLegacyName = 6;
constexpr char32_t kReplacementCharacter = 0xFFFD, kLastCodePoint = 0x10FFFF;

// Parses "65" or "x41", saturating just above the last code point.
char32_t parse_number(std::string_view digits) {
  const bool hex = !digits.empty() && (digits[0] == 'x' || digits[0] == 'X');
  char32_t number = 0;
  for (const char c : digits.substr(hex ? 1 : 0)) {
    const char32_t digit = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
    number = std::min<char32_t>(number * (hex ? 16 : 10) + digit, kLastCodePoint + 1);
  }
  return number;
}

bool is_scalar(char32_t c) { return c <= kLastCodePoint && (c < 0xD800 || c > 0xDFFF); }

bool is_noncharacter(char32_t c) { return (c >= 0xFDD0 && c <= 0xFDEF) || (c & 0xFFFE) == 0xFFFE; }

std::string utf8(char32_t c) {
  std::string text;
  append_utf8(text, c);
  return text;
}

// A numeric reference as html.unescape() resolves it: without control characters and noncharacters.
std::string unescape_number(std::string_view digits) {
  const char32_t c = parse_number(digits);
  if (c == 0 || !is_scalar(c)) return utf8(kReplacementCharacter);
  if (c >= 0x80 && c <= 0x9F) return utf8(windows_1252().high[c - 0x80]);
  const bool control = c < 0x9 || c == 0xB || (c >= 0xE && c < 0x20) || c == 0x7F;
  return control || is_noncharacter(c) ? std::string() : utf8(c);
}

// Resolves `name`, which may end in a semicolon. If only a shorter name is known, appends the rest.
std::string unescape_name(std::string_view name) {
  const bool closed = name.back() == ';';
  const auto* entity = find_html_entity(closed ? name.substr(0, name.size() - 1) : name);
  if (entity != nullptr && (closed || entity->legacy)) return std::string(entity->text);
  for (size_t length = std::min(name.size() - 1, kLongestLegacyName); length > 1; --length) {
    entity = find_html_entity(name.substr(0, length));
    if (entity != nullptr && entity->legacy) return std::string(entity->text) += name.substr(length);
  }
  return std::string("&") += name;
}

// str.upper() of an entity's text. Only sharp s, n with apostrophe and the ligatures become longer.
std::string upper(std::string_view text) {
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_code_point(text, at);
    switch (c) {
      case 0xDF:
        result += "SS";
        break;
      case 0x149:
        result += "\u02BCN";
        break;
      case 0xFB00:
        result += "FF";
        break;
      case 0xFB01:
        result += "FI";
        break;
      case 0xFB02:
        result += "FL";
        break;
      case 0xFB03:
        result += "FFI";
        break;
      case 0xFB04:
        result += "FFL";
        break;
      default:
        append_utf8(result, char32_t(utf8proc_toupper(utf8proc_int32_t(c))));
    }
  }
  return result;
}

std::string unescape_strict_name(std::string_view name, std::string_view whole) {
  if (const auto* entity = find_html_entity(name)) return std::string(entity->text);
  const bool all_caps = std::none_of(name.begin(), name.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  const auto* entity = all_caps ? find_html_entity(lower(name)) : nullptr;
  if (entity == nullptr || unescape_html(whole) != whole) return std::string(whole);
  return upper(entity->text);
}

}  // namespace

const HtmlEntity* find_html_entity(std::string_view name) {
  const auto* found =
      std::lower_bound(std::begin(kEntities), std::end(kEntities), name,
                       [](const HtmlEntity& entity, std::string_view n) { return entity.name < n; });
  return found != std::end(kEntities) && found->name == name ? found : nullptr;
}

std::string unescape_html(std::string_view text) {
  if (text.find('&') == std::string_view::npos) return std::string(text);
  static const Regex kReference("&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\\t\\n\\f <&#;]{1,32};?)");
  return kReference.replace_each(text, [&](const Regex::Match& found) {
    std::string_view reference = found.of(text, 1);
    if (reference[0] != '#') return unescape_name(reference);
    if (reference.back() == ';') reference.remove_suffix(1);
    return unescape_number(reference.substr(1));
  });
}

std::string unescape_html_strictly(std::string_view text) {
  if (text.find('&') == std::string_view::npos) return std::string(text);
  static const Regex kReference("&(#?[0-9A-Za-z]{1,24});");
  return kReference.replace_each(text, [&](const Regex::Match& found) {
    const std::string_view whole = found.of(text), name = found.of(text, 1);
    if (name[0] != '#') return unescape_strict_name(name, whole);
    std::string resolved = unescape_html(whole);
    return resolved.find(';') == std::string::npos ? resolved : std::string(whole);
  });
}

std::string numeric_reference(std::string_view digits) {
  const char32_t c = parse_number(digits);
  if (c == 0 || !is_scalar(c)) return utf8(kReplacementCharacter);
  return utf8(c >= 0x80 && c <= 0x9F ? char32_t(windows_1252().high[c - 0x80]) : c);
}

}  // namespace pixart::text
