#include "secret.h"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <string_view>

namespace pixart::caption {

namespace {

// Whether `digits` are those of the number, leading zeros aside.
bool is_number(std::string_view digits, uint32_t number, int base) {
  uint32_t value = 0;
  if (digits.empty() || digits.size() > 8) return false;
  for (const char c : digits) {
    const int digit =
        std::isdigit(static_cast<unsigned char>(c)) != 0 ? c - '0' : (std::tolower(c) - 'a' + 10);
    if (digit < 0 || digit >= base) return false;
    value = value * uint32_t(base) + uint32_t(digit);
  }
  return value == number;
}

// Length of an HTML entity for `c` at the start of the text; 0: there is none.
size_t entity_length(std::string_view text, char c) {
  const size_t end = text.substr(0, 10).find(';');
  if (!text.starts_with('&') || end == std::string_view::npos) return 0;
  const std::string_view name = text.substr(1, end - 1);
  const auto code = uint32_t(uint8_t(c));
  const bool is_named = (c == '&' && name == "amp") || (c == '<' && name == "lt") ||
                        (c == '>' && name == "gt") || (c == '"' && name == "quot") ||
                        (c == '\'' && name == "apos");
  const bool is_hex = name.starts_with("#x") || name.starts_with("#X");
  const bool is_decimal = name.starts_with('#') && !is_hex;
  return is_named || (is_hex && is_number(name.substr(2), code, 16)) ||
                 (is_decimal && is_number(name.substr(1), code, 10))
             ? end + 1
             : 0;
}

// Length of one form of `c` at the start of the text; 0: something else is there.
size_t form_length(std::string_view text, char c) {
  if (text.starts_with('%') && text.size() >= 3 && is_number(text.substr(1, 2), uint8_t(c), 16)) return 3;
  if (const size_t entity = entity_length(text, c); entity > 0) return entity;
  constexpr size_t kMostSlashes = 32;  // bounds the time for a text of nothing else
  const std::string_view head = text.substr(0, kMostSlashes);
  const size_t slashes = std::min(head.find_first_not_of('\\'), head.size());
  if (c == '\\') return slashes;
  const std::string_view rest = text.substr(slashes);
  if (slashes > 0 && rest.starts_with('u') && rest.size() >= 5 &&
      is_number(rest.substr(1, 4), uint8_t(c), 16))
    return slashes + 5;
  return rest.starts_with(c) ? slashes + 1 : 0;
}

size_t key_length(std::string_view text, const std::string& key) {
  size_t at = 0;
  for (const char c : key) {
    const size_t length = form_length(text.substr(at), c);
    if (length == 0) return 0;
    at += length;
  }
  return at;
}

}  // namespace

std::string without_key(const std::string& text, const std::string& key) {
  constexpr size_t kShortestSecret = 8;
  if (key.size() < kShortestSecret) return text;
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const size_t length = key_length(std::string_view(text).substr(at), key);
    result += length > 0 ? std::string("[key]") : text.substr(at, 1);
    at += std::max<size_t>(1, length);
  }
  return result;
}

}  // namespace pixart::caption
