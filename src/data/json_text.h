#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace pixart::data {

// What parse_json() gives for an escaped half of a character (\ud800 alone): SUB, which ASCII has for this.
inline constexpr char kLoneHalf = 0x1A;

// Parses `text`; NaN, Infinity and -Infinity of Python count as empty texts. A discarded value if it is not JSON, or
// holds a NUL byte.
nlohmann::json parse_json(const std::string& text);

}  // namespace pixart::data
