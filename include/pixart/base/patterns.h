// Names chosen by glob patterns, e.g. the parameters of a model that are not trained.
#pragma once
#include <string>
#include <vector>

#include "pixart/base/error.h"

namespace pixart {

// One flag per name: does one of `patterns` match the whole of it? * stands for any text (dots too), ? for
// one character, [abc] for one of these. A pattern that matches no name becomes a problem that begins with
// `key`, calls the names `what`, and suggests the nearest name, or a pattern near it that would match.
std::vector<bool> matching_names(const std::vector<std::string>& patterns,
                                 const std::vector<std::string>& names, const std::string& key,
                                 const std::string& what, Problems& problems);

}  // namespace pixart
