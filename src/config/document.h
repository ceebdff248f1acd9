// A YAML file as written, with the line of each node; types are not checked yet.
#pragma once
#include <string>
#include <vector>

#include "pixart/config/schema.h"

namespace pixart::config::internal {

struct Node {
  enum class Kind { kNull, kScalar, kList, kMap, kBroken };  // kBroken: already reported
  Kind kind = Kind::kNull;
  std::string key;             // of a value in a map
  std::string text;            // kScalar
  bool is_quoted = false;      // kScalar; also block text
  std::vector<Node> children;  // kList, kMap
  Place place;                 // for a value in a map: the place of its key

  const Node* find(const std::string& name) const;
  Node* find(const std::string& name);
};

// Parses the one document in `yaml`. YAML that is not allowed here is reported and left out; for invalid YAML
// the result is kBroken. An empty text gives kNull. With `override_index` >= 0 the text is the value of that
// --set, and `path` its key.
Node parse(const std::string& yaml, Report& report, int override_index = -1, const std::string& path = "");

// The first fault of `text` (a tab, a control character, bytes that are not UTF-8), or ""; sets `line`.
std::string unfit_character(const std::string& text, int& line);

// Applies report.overrides() to `root`. `type` is needed to find elements of lists that exist only in the
// defaults.
void apply_overrides(Node& root, const Type& type, Report& report);

}  // namespace pixart::config::internal
