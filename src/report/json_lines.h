// Reads the JSON lines of a file that may be damaged or grow while it is read.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace pixart::report {

struct LineCount {
  bool exists = false;
  int64_t read = 0, unreadable = 0;
  bool is_cut = false;  // the last line is not complete yet
};

// Calls visit() with each line that is a JSON object.
LineCount for_each_json_line(const std::filesystem::path& file,
                             const std::function<void(const nlohmann::json&)>& visit);

// NaN for null, which means a number that is not finite; nothing if there is no number.
std::optional<double> number_in(const nlohmann::json& json, const char* key);
int64_t integer_in(const nlohmann::json& json, const char* key, int64_t otherwise);  // within +-2^53
std::string text_in(const nlohmann::json& json, const char* key);                    // "" if there is none

// "2026-11-26T18:00:00Z" -> seconds since 1970; nothing for other texts.
std::optional<double> parsed_time(const std::string& text);
std::string time_text(double seconds);  // "2026-11-26 18:00:00"

}  // namespace pixart::report
