#include "rank_output.h"

#include <fmt/format.h>

#include <utility>

#include "pixart/base/print.h"

namespace pixart::distributed {

namespace {

constexpr size_t kLastLines = 20;
constexpr size_t kLongestLine = 16 << 10;  // longer lines are shown in pieces

}  // namespace

std::string RankOutput::take_line() {
  const std::string line = std::exchange(line_, {});
  if (line.empty()) return {};
  const bool is_continued = line[0] == ' ' || line[0] == '\t';
  if (!is_continued) is_shown_ = line.starts_with("warn") || line.starts_with("error");
  last_.push_back(fmt::format("[rank {}] {}\n", rank_, printable(line)));
  if (last_.size() > kLastLines) last_.pop_front();
  return is_shown_ ? last_.back() : std::string();
}

std::string RankOutput::add(std::string_view bytes) {
  std::string shown;
  for (const char c : bytes) {
    const bool is_end = c == '\n' || c == '\r';
    if (!is_end) line_ += c;
    if (is_end || line_.size() >= kLongestLine) shown += take_line();
  }
  return shown;
}

std::string RankOutput::end() { return take_line(); }

std::string RankOutput::last_lines() const {
  std::string text;
  for (const auto& line : last_) text += line;
  return text;
}

}  // namespace pixart::distributed
