// A strict JSON reader for untrusted headers: no comments, integers only; the caller handles duplicate keys.
#pragma once
#include "text_cursor.h"

namespace pixart::formats {

class JsonCursor : public TextCursor {
 public:
  JsonCursor(std::string_view text, std::string name, uint64_t base)
      : TextCursor(text, std::move(name), base, "a safetensors file") {}

  std::string string();  // valid UTF-8, escapes resolved, no control characters

 private:
  uint32_t hex4();
  void append_escape(std::string& out);
  void append_utf8(std::string& out);
};

}  // namespace pixart::formats
