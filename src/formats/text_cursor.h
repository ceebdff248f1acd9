// Reads an untrusted text once; callers ask for the next symbol.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace pixart::formats {

class TextCursor {
 public:
  // Messages name `name`, `base` (offset of the text in the file) and `kind`, e.g. "a safetensors file".
  TextCursor(std::string_view text, std::string name, uint64_t base, std::string_view kind)
      : text_(text), name_(std::move(name)), base_(base), kind_(kind) {}

  void expect(char symbol);                                 // after optional white space
  bool sees(char symbol);                                   // whether it comes next
  bool consume(char symbol);                                // if it comes next: moves past it, returns true
  uint64_t integer();                                       // 0 or digits without leading zero, below 2^63
  void end();                                               // only white space may be left
  [[noreturn]] void fail(const std::string& reason) const;  // UserError with file and offset

 protected:
  void skip_space();
  std::string_view text_;
  size_t at_ = 0;

 private:
  std::string name_;
  uint64_t base_;
  std::string_view kind_;
};

}  // namespace pixart::formats
