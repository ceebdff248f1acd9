// Regular expressions that users write for names of layers, as in PEFT's configuration.
#pragma once
#include <memory>
#include <string>
#include <string_view>

namespace pixart::text {

// With the meaning of Python's `re` on ASCII names, assertions, named groups and flags included.
class NamePattern {
 public:
  // Throws UserError that says what is wrong in `pattern`.
  explicit NamePattern(const std::string& pattern);
  // re.fullmatch. A search that exceeds PCRE2's limits matches nothing.
  bool matches(std::string_view name) const;

 private:
  std::shared_ptr<const class Regex> regex_;
};

}  // namespace pixart::text
