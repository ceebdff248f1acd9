// Single values, read by the type that the schema asks for.
#pragma once
#include <string>

#include "document.h"
#include "pixart/config/schema.h"

namespace pixart::config::internal {

// Fills `value.data` from a scalar node and returns "", or leaves it alone and returns what is wrong.
std::string read_scalar(const Node& node, Kind kind, Value& value);

// What is wrong with a read number or text under `rule`, or "".
std::string check_rule(const Rule& rule, const Value& value);

}  // namespace pixart::config::internal
