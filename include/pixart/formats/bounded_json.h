// The reader of JSON whose keys keep their order, from files that others may have changed. nlohmann's ordered_json
// compares a new key with all keys of its object, and copies, compares and writes values by recursion: so a small file
// with an object of very many keys, or with deep lists, would take hours, or the stack.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pixart/base/error.h"

namespace pixart::formats {

struct JsonLimits {
  int64_t keys = 1'000;  // of one object; the files of this program have some tens
  int depth = 32;        // of lists and objects inside each other
};

// The text is not JSON, or beyond the limits. The message begins with "it has", or is the library's.
class BadJson : public UserError {
 public:
  using UserError::UserError;
};

// Why a text is not parsed: a limit, or a zero byte, which the library takes for the end; "" if it may be parsed.
std::string json_fault(std::string_view text, const JsonLimits& limits = {});

nlohmann::ordered_json parse_ordered(std::string_view text, const JsonLimits& limits = {});  // throws BadJson
// Discarded (is_discarded(), and of no other type) where parse_ordered() throws.
nlohmann::ordered_json parse_ordered_or_discard(std::string_view text, const JsonLimits& limits = {});

// The values of a list or object that are neither, by their paths ("settings/fid", "sizes/0"; with ~0 for ~ and ~1 for
// /), in their order; null for empty lists and objects. Of another value, and of an empty one, nothing. The library's
// flatten() takes the square of their number. nullopt if the paths are too long together: each holds all names above.
using JsonValues = std::vector<std::pair<std::string, const nlohmann::ordered_json*>>;
std::optional<JsonValues> values_by_path(const nlohmann::ordered_json& json);

}  // namespace pixart::formats
