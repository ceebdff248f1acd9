#include "json_lines.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

namespace pixart::report {
using nlohmann::json;

namespace {
constexpr std::streamsize kLongestLine = std::streamsize{1} << 20;
constexpr double kLargestInteger = 9007199254740992.0;  // 2^53
}  // namespace

LineCount for_each_json_line(const std::filesystem::path& file,
                             const std::function<void(const json&)>& visit) {
  LineCount count;
  std::error_code error;
  count.exists = std::filesystem::is_regular_file(file, error);
  if (!count.exists) return count;
  std::ifstream stream(file, std::ios::binary);
  std::string buffer(size_t(kLongestLine), '\0');
  while (stream) {
    stream.getline(buffer.data(), kLongestLine);
    const std::streamsize taken = stream.gcount();
    if (taken == 0) break;
    if (stream.fail() && !stream.eof()) {  // longer than any line that pixart writes
      stream.clear();
      stream.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
      ++count.unreadable;
      continue;
    }
    const bool has_end = !stream.eof();
    const std::string_view line(buffer.data(), size_t(taken - (has_end ? 1 : 0)));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const json parsed = json::parse(line, nullptr, false);
    if (parsed.is_object()) {
      visit(parsed);
      ++count.read;
    } else if (has_end) {
      ++count.unreadable;
    } else {
      count.is_cut = true;
    }
  }
  return count;
}

std::optional<double> number_in(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::nullopt;
  if (found->is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (!found->is_number()) return std::nullopt;
  return found->get<double>();
}

int64_t integer_in(const json& object, const char* key, int64_t otherwise) {
  const auto number = number_in(object, key);
  if (!number || !(std::abs(*number) <= kLargestInteger)) return otherwise;
  return int64_t(*number);
}

std::string text_in(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::optional<double> parsed_time(const std::string& text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, used = 0;
  double second = 0;
  if (std::sscanf(text.c_str(), "%4d-%2d-%2dT%2d:%2d:%9lfZ%n", &year, &month, &day, &hour, &minute, &second,
                  &used) != 6 ||
      size_t(used) != text.size() || used == 0)
    return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(unsigned(month)),
                                         std::chrono::day(unsigned(day))};
  const bool is_time = hour >= 0 && hour < 24 && minute >= 0 && minute < 60 && second >= 0 && second < 61;
  if (!date.ok() || !is_time) return std::nullopt;
  const double days = double(std::chrono::sys_days(date).time_since_epoch().count());
  return days * 86400 + hour * 3600 + minute * 60 + second;
}

std::string time_text(double seconds) {
  if (!std::isfinite(seconds) || std::abs(seconds) > 1e11) return "?";
  const auto whole = int64_t(std::floor(seconds));
  const int64_t days = whole >= 0 ? whole / 86400 : -((-whole + 86399) / 86400);
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
  const int64_t rest = whole - days * 86400;
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", int(date.year()), unsigned(date.month()),
                     unsigned(date.day()), rest / 3600, rest / 60 % 60, rest % 60);
}

}  // namespace pixart::report
