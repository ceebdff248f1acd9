// A YAML file as it stands, with the place of everything; no type has been looked at.
#pragma once
#include <string>
#include <vector>

#include "pixart/config/schema.h"

namespace pixart::config::internal {

struct Node {
  enum class Kind { kNull, kScalar, kList, kMap, kBroken };  // kBroken: already reported
  Kind kind = Kind::kNull;
  std::string key;             // where it is a value of a map
  std::string text;            // kScalar
  bool is_quoted = false;      // kScalar; also block text
  std::vector<Node> children;  // kList, kMap
  Place place;                 // of values of a map: the key's

  const Node* find(const std::string& name) const;
  Node* find(const std::string& name);
};

// Parses the one document in `yaml`. What is YAML, but not allowed here, is reported and left out; for what
// is no YAML the result is kBroken. An empty text gives kNull. With `override_index` >= 0 the text is the
// value of that --set, and `path` its key.
Node parse(const std::string& yaml, Report& report, int override_index = -1, const std::string& path = "");

// What text may not hold (tabs, control characters, bytes that are no UTF-8), or "". `line` is set to its
// line.
std::string unfit_character(const std::string& text, int& line);

// Applies report.overrides() to `root`. `type` is needed to find elements of lists that only the defaults
// have.
void apply_overrides(Node& root, const Type& type, Report& report);

}  // namespace pixart::config::internal
