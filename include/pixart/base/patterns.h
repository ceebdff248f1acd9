// Selects names by glob patterns, e.g. the parameters of a model that are not trained.
#pragma once
#include <string>
#include <vector>

#include "pixart/base/error.h"

namespace pixart {

// One flag per name: true if one of `patterns` matches the whole name. * matches any text (dots too), ? one
// character, [abc] one of these characters. A pattern that matches no name becomes a problem. Its text begins
// with `key`, calls the names `what`, and suggests the nearest name or a similar pattern that would match.
std::vector<bool> matching_names(const std::vector<std::string>& patterns,
                                 const std::vector<std::string>& names, const std::string& key,
                                 const std::string& what, Problems& problems);

}  // namespace pixart
