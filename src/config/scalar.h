// Reads single values as the type that the schema asks for.
#pragma once
#include <string>

#include "document.h"
#include "pixart/config/schema.h"

namespace pixart::config::internal {

// Fills `value.data` from a scalar node and returns "", or leaves it unchanged and returns the problem.
std::string read_scalar(const Node& node, Kind kind, Value& value);

// The problem of a number or text under `rule`, or "".
std::string check_rule(const Rule& rule, const Value& value);

}  // namespace pixart::config::internal
