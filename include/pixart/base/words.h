// Helpers for the text of messages.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pixart {

// The candidate nearest to `word` by edit distance (a transposition costs 1), or "" if none is close.
std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates);

// " Did you mean 'x'?" or "".
std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates);

// The same for the names in a file, which may be a million: "" after the first fifty calls, and for more than
// 2,000 candidates.
class FewHints {
 public:
  std::string operator()(std::string_view word, const std::vector<std::string>& candidates);

 private:
  int left_ = 50;
};

constexpr std::string_view kBlanks = " \t\r\n\v\f";
std::string trimmed(std::string_view text, std::string_view blanks = kBlanks);  // at both ends
std::string ascii_lower(std::string text);
// The lines of a file's text; a byte-order mark and the carriage returns at their ends are left out.
std::vector<std::string> lines_of(std::string_view text);

std::string join(const std::vector<std::string>& parts, std::string_view separator);
// "a, b, c and 17 more": names at most twenty, each made printable().
std::string name_some(const std::vector<std::string>& names);

std::string shape_text(const std::vector<int64_t>& sides);  // "[2, 3]"
std::string human_bytes(uint64_t bytes);                    // "1.4 GiB"
std::string human_seconds(double seconds);                  // "1 h 02 min", "3 min 12 s", "4.2 s"
std::string with_thousands(int64_t number);                 // "610,856,096"

}  // namespace pixart
