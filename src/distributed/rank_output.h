// Filters the output of ranks other than 0.
#pragma once
#include <deque>
#include <string>
#include <string_view>

namespace pixart::distributed {

class RankOutput {
 public:
  explicit RankOutput(int rank) : rank_(rank) {}

  // Takes output in pieces; returns the lines to be shown: those that begin with "warn" or "error" and the
  // indented lines after them, each with "[rank k] " before it.
  std::string add(std::string_view bytes);
  std::string end();  // the last line, if no newline ended it

  // The last lines, shown or not, with "[rank k] " before each.
  std::string last_lines() const;

 private:
  std::string take_line();

  int rank_;
  std::string line_;
  std::deque<std::string> last_;
  bool is_shown_ = false;
};

}  // namespace pixart::distributed
