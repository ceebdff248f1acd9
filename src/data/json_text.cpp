#include "json_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "pixart/base/error.h"
#include "pixart/data/python_json.h"

namespace pixart::data {

namespace {

// The length of the number that Python writes at `at`; 0 if there is none.
size_t python_number_at(std::string_view json, size_t at) {
  constexpr std::array<std::string_view, 3> kNumbers = {"NaN", "-Infinity", "Infinity"};
  for (const auto number : kNumbers)
    if (json.substr(at, number.size()) == number) return number.size();
  return 0;
}

// The value of an escape \uXXXX at `at`; 0 if there is none.
unsigned escape_at(std::string_view json, size_t at) {
  constexpr size_t kDigits = 4;
  const std::string_view text = json.substr(std::min(at, json.size()), 2 + kDigits);
  unsigned value = 0;
  if (text.size() < 2 + kDigits || !text.starts_with("\\u")) return 0;
  const auto result = std::from_chars(text.data() + 2, text.data() + text.size(), value, 16);
  return result.ptr == text.data() + text.size() ? value : 0;
}

bool is_first_half(unsigned value) { return value >= 0xD800 && value <= 0xDBFF; }
bool is_second_half(unsigned value) { return value >= 0xDC00 && value <= 0xDFFF; }

// Writes kLoneHalf in place of each escape that is one half of a character without the other, which Python's json
// takes. As a control character it is refused in captions and paths, and no other field matters.
bool blank_lone_halves(std::string& json) {
  constexpr size_t kEscape = 6;
  bool found = false;
  for (size_t i = 0; i < json.size(); ++i) {
    if (json[i] != '\\') continue;
    const unsigned value = escape_at(json, i);
    if (is_first_half(value) && is_second_half(escape_at(json, i + kEscape))) {
      i += 2 * kEscape - 1;
    } else if (is_first_half(value) || is_second_half(value)) {
      json.replace(i + 2, kEscape - 2, fmt::format("{:04x}", int(kLoneHalf)));
      i += kEscape - 1;
      found = true;
    } else {
      ++i;
    }
  }
  return found;
}

}  // namespace

bool blank_python_numbers(std::string& json) {
  bool is_text = false, found = false;
  for (size_t i = 0; i < json.size(); ++i) {
    if (is_text && json[i] == '\\') {
      ++i;
      continue;
    }
    if (json[i] == '"') is_text = !is_text;
    const size_t length = is_text ? 0 : python_number_at(json, i);
    if (length == 0) continue;
    json.replace(i, length, "\"\"" + std::string(length - 2, ' '));
    i += length - 1;
    found = true;
  }
  return found;
}

nlohmann::json parse_json(const std::string& text) {
  // The parser takes a NUL for the end, and would pass over what follows.
  if (text.find('\0') != std::string::npos) return nlohmann::json(nlohmann::json::value_t::discarded);
  auto value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_discarded()) return value;
  std::string changed = text;
  const bool has_numbers = blank_python_numbers(changed), has_halves = blank_lone_halves(changed);
  return has_numbers || has_halves ? nlohmann::json::parse(changed, nullptr, false) : value;
}

}  // namespace pixart::data
