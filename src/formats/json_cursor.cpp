#include "json_cursor.h"

#include "pixart/base/utf8.h"

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
  append_utf8(out, code);
}

void JsonCursor::append_character(std::string& out) {
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
      append_character(out);
  }
}

void JsonCursor::skip_digits() {
  const size_t begin = at_;
  while (at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9') ++at_;
  if (at_ == begin) fail("a digit expected");
}

void JsonCursor::skip_number() {
  const auto skip_one_of = [this](std::string_view symbols) {
    const bool found = at_ < text_.size() && symbols.find(text_[at_]) != std::string_view::npos;
    at_ += found ? 1 : 0;
    return found;
  };
  skip_one_of("-");
  if (!skip_one_of("0")) skip_digits();
  if (skip_one_of(".")) skip_digits();
  if (!skip_one_of("eE")) return;
  skip_one_of("+-");
  skip_digits();
}

void JsonCursor::skip_value() { skip_value(0); }

void JsonCursor::skip_value(int level) {
  constexpr int kDeepest = 64;
  if (level > kDeepest) fail(fmt::format("nested over {} levels deep", kDeepest));
  if (sees('{')) return object("key", [&](const std::string&) { skip_value(level + 1); });
  if (sees('[')) return list([&] { skip_value(level + 1); });
  if (sees('"')) return void(string());
  for (const std::string_view word : {"true", "false", "null"})
    if (text_.substr(at_).starts_with(word)) return void(at_ += word.size());
  skip_number();
}

}  // namespace pixart::formats
