// The text of types, rules and values in messages, files and the reference.
#pragma once
#include <string>

#include "pixart/config/schema.h"

namespace pixart::config::internal {

std::string type_name(const Type& type);                      // "list of numbers", "integer"
std::string rule_text(const Rule& rule);                      // "more than 0"; "" if any value is allowed
std::string flow_text(const Type& type, const Value& value);  // YAML on one line: [0.9, 0.999]
// For messages: the beginning of `text` if it is longer than most keys and values are.
std::string shortened(const std::string& text);

std::string path_below(const std::string& path, const std::string& key);

// The names of a list's elements, or their indices if a name is missing or used twice.
std::vector<std::string> element_names(const Type& element, const Value& list);
bool same(const Value& a, const Value& b);  // equal values, whatever their places

// The name by which an element of a list can be addressed in a path: `name`, or its index where a name is
// empty or would not be read as one.
std::string element_name(const std::string& name, size_t index);

}  // namespace pixart::config::internal
