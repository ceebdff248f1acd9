#include "weight_index.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "input_file.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"

namespace pixart::formats {
using nlohmann::json;

namespace {

constexpr uint64_t kLargestIndex = 64 << 20;

// Finds keys that occur twice in one object; the JSON library itself silently keeps the last one.
class DuplicateKeys {
 public:
  bool operator()(json::parse_event_t event, const json& value) {
    if (event == json::parse_event_t::object_start) open_.emplace_back();
    if (event == json::parse_event_t::object_end) open_.pop_back();
    if (event == json::parse_event_t::key && !open_.back().insert(value.get<std::string>()).second)
      found_.push_back(value.get<std::string>());
    return true;
  }
  const std::vector<std::string>& found() const { return found_; }

 private:
  std::vector<std::set<std::string>> open_;
  std::vector<std::string> found_;
};

bool is_bare_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." &&
         name.find_first_of(std::string("/\\\0", 3)) == std::string::npos;
}

}  // namespace

std::map<std::string, std::string> parse_weight_index(std::string_view text, const std::string& name) {
  DuplicateKeys duplicates;
  const auto watch = [&](int, json::parse_event_t event, json& value) { return duplicates(event, value); };
  const json parsed = json::parse(text, watch, /*allow_exceptions=*/false);
  if (!parsed.is_object() || !parsed.contains("weight_map") || !parsed["weight_map"].is_object() ||
      parsed["weight_map"].empty()) {
    throw UserError(name + " is not an index of weight shards: expected a JSON object with a weight_map.");
  }
  std::map<std::string, std::string> map;
  Problems problems;
  for (const auto& key : duplicates.found()) problems.add(fmt::format("{} occurs twice", shown(key)));
  for (const auto& [tensor, file] : parsed["weight_map"].items()) {
    if (file.is_string() && is_bare_name(file.get<std::string>())) {
      map.emplace(tensor, file.get<std::string>());
    } else {
      // Only strings are shown: to print nested lists, the library calls itself for each level.
      problems.add(fmt::format("tensor {}: {} is not a plain file name", shown(tensor),
                               file.is_string() ? shown(file.get<std::string>()) : file.type_name()));
    }
  }
  problems.throw_if_any(name);
  return map;
}

std::map<std::string, std::string> read_weight_index(const std::filesystem::path& path) {
  return parse_weight_index(read_file(path, kLargestIndex), path.string());
}

}  // namespace pixart::formats
