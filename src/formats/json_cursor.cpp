#include "json_cursor.h"

#include "pixart/formats/utf8.h"

namespace pixart::formats {

uint32_t JsonCursor::hex4() {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i, ++at_) {
    if (at_ >= text_.size()) fail("the text ends inside an escape");
    const char c = text_[at_];
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (digit < 0) fail("expected four hexadecimal digits");
    value = value * 16 + uint32_t(digit);
  }
  return value;
}

namespace {

void append_code_point(std::string& out, uint32_t c) {
  if (c < 0x80) {
    out += char(c);
  } else if (c < 0x800) {
    out += char(0xC0 | c >> 6);
    out += char(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += char(0xE0 | c >> 12);
    out += char(0x80 | (c >> 6 & 0x3F));
    out += char(0x80 | (c & 0x3F));
  } else {
    out += char(0xF0 | c >> 18);
    out += char(0x80 | (c >> 12 & 0x3F));
    out += char(0x80 | (c >> 6 & 0x3F));
    out += char(0x80 | (c & 0x3F));
  }
}

}  // namespace

void JsonCursor::append_escape(std::string& out) {
  if (at_ >= text_.size()) fail("the text ends inside an escape");
  const char letter = text_[at_++];
  static constexpr std::string_view kLetters = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
  if (const auto found = kLetters.find(letter); found != std::string_view::npos) {
    out += kValues[found];
    return;
  }
  if (letter != 'u') fail("unknown escape");
  uint32_t code = hex4();
  if (code >= 0xDC00 && code < 0xE000) fail("half of a surrogate pair");
  if (code >= 0xD800 && code < 0xDC00) {
    if (at_ + 1 >= text_.size() || text_[at_] != '\\' || text_[at_ + 1] != 'u')
      fail("half of a surrogate pair");
    at_ += 2;
    const uint32_t low = hex4();
    if (low < 0xDC00 || low >= 0xE000) fail("half of a surrogate pair");
    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
  }
  append_code_point(out, code);
}

void JsonCursor::append_utf8(std::string& out) {
  const size_t length = utf8_sequence(text_, at_);
  if (length == 0) fail("the text is not valid UTF-8");
  out.append(text_.substr(at_, length));
  at_ += length;
}

std::string JsonCursor::string() {
  expect('"');
  std::string out;
  while (true) {
    if (at_ >= text_.size()) fail("the text ends inside a string");
    const char c = text_[at_];
    if (c == '"') return ++at_, out;
    if (uint8_t(c) < 0x20) fail("control character inside a string");
    if (c == '\\')
      ++at_, append_escape(out);
    else
      append_utf8(out);
  }
}

}  // namespace pixart::formats
