#include "json_text.h"

#include <array>
#include <string_view>

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
  auto value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!value.is_discarded()) return value;
  std::string changed = text;
  return blank_python_numbers(changed) ? nlohmann::json::parse(changed, nullptr, false) : value;
}

}  // namespace pixart::data
