#include "json_lines.h"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>

#include "pixart/base/words.h"

namespace pixart::report {
using nlohmann::json;

namespace {
constexpr std::streamsize kLongestLine = std::streamsize{1} << 20;
constexpr double kLargestInteger = 9007199254740992.0;  // 2^53
constexpr int64_t kEndOfFile = std::numeric_limits<int64_t>::max();

bool is_regular(const std::filesystem::path& file) {
  std::error_code error;
  return std::filesystem::is_regular_file(file, error);
}

class LineReader {
 public:
  explicit LineReader(const std::filesystem::path& file)
      : stream_(file, std::ios::binary), buffer_(size_t(kLongestLine), '\0') {}

  // Calls visit() with the lines that begin in `part`.
  void read(const ByteRange& part, const PlacedLineVisit& visit, LineCount& count) {
    if (at_ != part.begin) {
      stream_.clear();
      stream_.seekg(part.begin);
      at_ = part.begin;
    }
    while (stream_ && at_ < part.end) {
      const int64_t begin = at_;
      stream_.getline(buffer_.data(), kLongestLine);
      const std::streamsize taken = stream_.gcount();
      if (taken == 0) break;
      at_ += taken;
      if (stream_.fail() && !stream_.eof()) {  // longer than any line that pixart writes
        stream_.clear();
        stream_.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
        at_ += stream_.gcount();
        ++count.unreadable;
        continue;
      }
      const bool has_end = !stream_.eof();
      const std::string_view line(buffer_.data(), size_t(taken - (has_end ? 1 : 0)));
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      const json parsed = json::parse(line, nullptr, false);
      if (parsed.is_object()) {
        visit(parsed, {begin, at_});
        ++count.read;
      } else if (has_end) {
        ++count.unreadable;
      } else {
        count.is_cut = true;
      }
    }
  }

 private:
  std::ifstream stream_;
  std::string buffer_;
  int64_t at_ = 0;
};
}  // namespace

LineCount for_each_json_line(const std::filesystem::path& file,
                             const std::function<void(const json&)>& visit) {
  return for_each_placed_line(file, [&](const json& line, const ByteRange&) { visit(line); });
}

LineCount for_each_placed_line(const std::filesystem::path& file, const PlacedLineVisit& visit) {
  LineCount count{.exists = is_regular(file)};
  if (count.exists) LineReader(file).read({0, kEndOfFile}, visit, count);
  return count;
}

void for_each_line_in(const std::filesystem::path& file, const std::vector<ByteRange>& parts,
                      const PlacedLineVisit& visit) {
  if (!is_regular(file)) return;
  LineCount count;
  LineReader reader(file);
  for (const auto& part : parts) reader.read(part, visit, count);
}

std::vector<std::string> remarks_on(const LeftOut& left_out, const std::string& file) {
  std::vector<std::string> remarks;
  if (left_out.lines > 0)
    remarks.push_back(fmt::format("{} line(s) of {} are left out: they are of stages after the first {}.",
                                  with_thousands(left_out.lines), file, kMostStages));
  if (left_out.values > 0)
    remarks.push_back(fmt::format(
        "{} value(s) of {} are left out: their names come after the first {} of a stage, or the first {} of "
        "the run.",
        with_thousands(left_out.values), file, with_thousands(kMostNames), with_thousands(kMostNamesOfRun)));
  return remarks;
}

std::string stage_in(const json& line) {
  constexpr size_t kLongestName = 255;
  const auto found = line.find("stage");
  if (found == line.end() || !found->is_string()) return "";
  const auto& name = found->get_ref<const std::string&>();
  return name.size() <= kLongestName ? name : "";
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
  constexpr double kMost = 3e11;  // parsed_time() reads years up to 9999, which end at 2.5e11
  if (!std::isfinite(seconds) || std::abs(seconds) > kMost) return "?";
  const auto whole = int64_t(std::floor(seconds));
  const int64_t days = whole >= 0 ? whole / 86400 : -((-whole + 86399) / 86400);
  const std::chrono::year_month_day date{std::chrono::sys_days(std::chrono::days(days))};
  const int64_t rest = whole - days * 86400;
  return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}", int(date.year()), unsigned(date.month()),
                     unsigned(date.day()), rest / 3600, rest / 60 % 60, rest % 60);
}

}  // namespace pixart::report
