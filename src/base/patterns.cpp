#include "pixart/base/patterns.h"

#include <fnmatch.h>

#include <algorithm>
#include <set>

#include "pixart/base/words.h"

namespace pixart {

namespace {

bool is_number(const std::string& part) {
  return !part.empty() && part.find_first_not_of("0123456789") == std::string::npos;
}

std::vector<std::string> dotted_parts(const std::string& name) {
  std::vector<std::string> parts(1);
  for (const char letter : name) {
    if (letter == '.')
      parts.emplace_back();
    else
      parts.back() += letter;
  }
  return parts;
}

// Patterns that people are likely to write for a name a.0.b.c: the name itself, a.*.b.c, and the beginnings,
// ends and middles of these with stars around them.
void add_suggestions(const std::string& name, std::set<std::string>& suggestions) {
  suggestions.insert(name);
  auto parts = dotted_parts(name);
  for (const bool numbers : {true, false}) {
    if (!numbers) {
      for (auto& part : parts)
        if (is_number(part)) part = "*";
    }
    suggestions.insert(join(parts, "."));
    for (size_t i = 1; i < parts.size(); ++i) {
      const auto middle = parts.begin() + std::ptrdiff_t(i);
      suggestions.insert(join({parts.begin(), middle}, ".") + ".*");
      suggestions.insert("*." + join({middle, parts.end()}, "."));
    }
    for (const auto& part : parts)
      if (part != "*" && !is_number(part)) suggestions.insert("*" + part + "*");
  }
}

bool matches(const std::string& pattern, const std::string& name) {
  return ::fnmatch(pattern.c_str(), name.c_str(), FNM_NOESCAPE) == 0;
}

std::string suggestion(const std::string& pattern, const std::vector<std::string>& names) {
  if (pattern.empty()) return {};
  for (const auto& wider : {pattern + "*", "*" + pattern, "*" + pattern + "*"}) {
    for (const auto& name : names)
      if (matches(wider, name)) return fmt::format(" Did you mean '{}'?", wider);
  }
  std::set<std::string> suggestions;
  for (const auto& name : names) add_suggestions(name, suggestions);
  return did_you_mean(pattern, {suggestions.begin(), suggestions.end()});
}

}  // namespace

std::vector<bool> matching_names(const std::vector<std::string>& patterns,
                                 const std::vector<std::string>& names, const std::string& key,
                                 const std::string& what, Problems& problems) {
  std::vector<bool> result(names.size(), false);
  for (const auto& pattern : patterns) {
    bool is_used = false;
    for (size_t i = 0; i < names.size(); ++i) {
      if (!matches(pattern, names[i])) continue;
      result[i] = is_used = true;
    }
    if (!is_used)
      problems.add(fmt::format("{}: '{}' matches no {}.{}", key, pattern, what, suggestion(pattern, names)));
  }
  return result;
}

}  // namespace pixart
