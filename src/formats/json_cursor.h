// A strict JSON reader for untrusted headers: no comments, no duplicate handling left to chance, integers
// only. It walks the text once and never recurses; callers ask for what must come next.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace pixart::formats {

class JsonCursor {
 public:
  // `name` and `base` (offset of the text in the file) go into error messages.
  JsonCursor(std::string_view text, std::string name, uint64_t base)
      : text_(text), name_(std::move(name)), base_(base) {}

  void expect(char symbol);   // after white space
  bool consume(char symbol);  // true and past it if it comes next
  std::string string();       // valid UTF-8, escapes resolved, no control characters
  uint64_t integer();         // 0 or digits without leading zero, below 2^63
  void end();                 // only white space is left
  [[noreturn]] void fail(const std::string& reason) const;  // UserError with file and offset

 private:
  void skip_space();
  uint32_t hex4();
  void append_escape(std::string& out);
  void append_utf8(std::string& out);
  std::string_view text_;
  std::string name_;
  uint64_t base_;
  size_t at_ = 0;
};

}  // namespace pixart::formats
