// The strict JSON reader of untrusted headers and indexes: valid UTF-8, no comments, no key twice.
#pragma once
#include <set>

#include "input_file.h"
#include "pixart/base/error.h"
#include "text_cursor.h"

namespace pixart::formats {

class JsonCursor : public TextCursor {
 public:
  using TextCursor::TextCursor;

  std::string string();  // escapes resolved, no control characters
  void skip_value();     // of any kind, with at most 64 levels

  // An object, whose keys are called `what` in messages. read(key) reads the value of each.
  template <class Read>
  void object(const std::string& what, Read read) {
    std::set<std::string> seen;
    expect('{');
    if (consume('}')) return;
    do {
      const std::string key = string();
      if (!seen.insert(key).second) fail(fmt::format("{} {} occurs twice", what, shown(key)));
      expect(':');
      read(key);
    } while (consume(','));
    expect('}');
  }

  // A list. read() reads each element.
  template <class Read>
  void list(Read read) {
    expect('[');
    if (consume(']')) return;
    do {
      read();
    } while (consume(','));
    expect(']');
  }

 private:
  void skip_value(int level);
  void skip_digits();
  void skip_number();
  uint32_t hex4();
  void append_escape(std::string& out);
  void append_character(std::string& out);
};

}  // namespace pixart::formats
