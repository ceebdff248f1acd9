#include "text_cursor.h"

#include "pixart/base/error.h"

namespace pixart::formats {

void TextCursor::fail(const std::string& reason) const {
  throw UserError(
      fmt::format("{}: byte {}: {}. The file is damaged or not {}.", name_, base_ + at_, reason, kind_));
}

void TextCursor::skip_space() {
  while (at_ < text_.size() &&
         (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r'))
    ++at_;
}

bool TextCursor::sees(char symbol) {
  skip_space();
  return at_ < text_.size() && text_[at_] == symbol;
}

bool TextCursor::consume(char symbol) {
  const bool found = sees(symbol);
  at_ += found ? 1 : 0;
  return found;
}

void TextCursor::expect(char symbol) {
  if (!consume(symbol)) fail(fmt::format("'{}' expected", symbol));
}

uint64_t TextCursor::integer() {
  skip_space();
  const size_t start = at_;
  uint64_t value = 0;
  while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') {
    value = value * 10 + uint64_t(text_[at_] - '0');
    if (++at_ - start > 19 || value > uint64_t(INT64_MAX)) fail("number too large");
  }
  if (at_ == start) fail("expected a whole number of at least 0");
  if (text_[start] == '0' && at_ - start > 1) fail("number with a leading zero");
  if (at_ < text_.size() && (text_[at_] == '.' || text_[at_] == 'e' || text_[at_] == 'E'))
    fail("expected a whole number");
  return value;
}

void TextCursor::end() {
  skip_space();
  if (at_ != text_.size()) fail("there is more text after the end");
}

}  // namespace pixart::formats
