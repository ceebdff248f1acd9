// The head of a server's answer to a request for a range.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pixart::data {

struct ContentRange {
  uint64_t first = 0, last = 0;
  std::optional<uint64_t> total = {};
};
// "bytes 0-99/1000", "bytes 0-99/*"; nothing for another text.
std::optional<ContentRange> parse_content_range(const std::string& text);

struct AnswerHead {
  long status = 0;
  std::string content_range = {}, etag = {}, modified = {}, encoding = {}, retry_after = {}, date = {};

  void add_line(std::string_view line);  // a status line begins the head anew, after a redirect
  std::string validator() const { return !etag.empty() ? etag : modified; }
};

}  // namespace pixart::data
