#include "http_answer.h"

#include <charconv>

#include "pixart/base/words.h"

namespace pixart::data {

namespace {

bool take_number(std::string_view& text, uint64_t& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  text.remove_prefix(size_t(end - text.data()));
  return error == std::errc();
}

bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

}  // namespace

std::optional<ContentRange> parse_content_range(const std::string& header) {
  const std::string lower = ascii_lower(header);
  std::string_view text = lower;
  ContentRange range;
  if (!take(text, "bytes ") || !take_number(text, range.first) || !take(text, "-") ||
      !take_number(text, range.last) || !take(text, "/") || range.last < range.first)
    return std::nullopt;
  if (text == "*") return range;
  uint64_t total = 0;
  if (!take_number(text, total) || !text.empty() || total <= range.last) return std::nullopt;
  range.total = total;
  return range;
}

void AnswerHead::add_line(std::string_view line) {
  if (line.starts_with("HTTP/")) {
    *this = {};
    const size_t blank = line.find(' ');
    if (blank != std::string_view::npos)
      std::from_chars(line.data() + blank + 1, line.data() + line.size(), status);
    return;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return;
  const std::string name = ascii_lower(std::string(line.substr(0, colon)));
  std::string* const field = name == "content-range"      ? &content_range
                             : name == "etag"             ? &etag
                             : name == "last-modified"    ? &modified
                             : name == "content-encoding" ? &encoding
                             : name == "retry-after"      ? &retry_after
                             : name == "date"             ? &date
                                                          : nullptr;
  if (field != nullptr) *field = trimmed(line.substr(colon + 1));
}

}  // namespace pixart::data
