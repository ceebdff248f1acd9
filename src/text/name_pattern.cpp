#include "pixart/text/name_pattern.h"

#include "pcre_regex.h"
#include "pixart/base/error.h"

namespace pixart::text {

NamePattern::NamePattern(const std::string& pattern) {
  std::string problem;
  // Alone first: the parentheses around it must not close one of its own.
  auto alone = Regex::from_user(pattern, problem);
  auto whole = Regex::from_user("\\A(?:" + pattern + ")\\z", problem);
  if (!alone || !whole)
    throw UserError(fmt::format("'{}' is not a regular expression: {}", pattern, problem));
  regex_ = std::make_shared<const Regex>(std::move(*whole));
}

bool NamePattern::matches(std::string_view name) const { return regex_->search(name).has_value(); }

}  // namespace pixart::text
