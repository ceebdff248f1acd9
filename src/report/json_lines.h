// Reads the JSON lines of a file that may be damaged or grow while it is read.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace pixart::report {

struct LineCount {
  bool exists = false;
  int64_t read = 0, unreadable = 0;
  bool is_cut = false;  // the last line is not complete yet
};

// Calls visit() with each line that is a JSON object.
LineCount for_each_json_line(const std::filesystem::path& file,
                             const std::function<void(const nlohmann::json&)>& visit);

struct ByteRange {  // from `begin` to before `end`
  int64_t begin = 0, end = 0;
};
using PlacedLineVisit = std::function<void(const nlohmann::json&, const ByteRange& line)>;

// The same, with the place of each line in the file.
LineCount for_each_placed_line(const std::filesystem::path& file, const PlacedLineVisit& visit);

// Only the lines that begin in one of `parts`, each of which begins at the begin of a line.
void for_each_line_in(const std::filesystem::path& file, const std::vector<ByteRange>& parts,
                      const PlacedLineVisit& visit);

// A file may name any number of stages and values. What has other names than the first of these is left out, and counted.
constexpr size_t kMostStages = 100, kMostNames = 1000, kMostNamesOfRun = 10000;  // kMostNames: of a stage

struct LeftOut {
  int64_t lines = 0;   // of other stages
  int64_t values = 0;  // with other names
};

std::vector<std::string> remarks_on(const LeftOut& left_out, const std::string& file);  // sentences

// The stage of a line; "" if there is none, or one that no run has, because it is too long for the name of a folder.
std::string stage_in(const nlohmann::json& line);

// NaN for null, which means a number that is not finite; nothing if there is no number.
std::optional<double> number_in(const nlohmann::json& json, const char* key);
int64_t integer_in(const nlohmann::json& json, const char* key, int64_t otherwise);  // within +-2^53
std::string text_in(const nlohmann::json& json, const char* key);                    // "" if there is none

// "2026-11-26T18:00:00Z" -> seconds since 1970; nothing for other texts.
std::optional<double> parsed_time(const std::string& text);
std::string time_text(double seconds);  // "2026-11-26 18:00:00"

}  // namespace pixart::report
