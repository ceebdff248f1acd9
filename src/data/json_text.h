#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace pixart::data {

// Parses `text`; NaN, Infinity and -Infinity of Python count as empty texts, and an escaped half of a character (\ud800
// alone) as \u0000. A discarded value if it is not JSON.
nlohmann::json parse_json(const std::string& text);

}  // namespace pixart::data
