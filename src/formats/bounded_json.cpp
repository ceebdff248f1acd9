#include "pixart/formats/bounded_json.h"

namespace pixart::formats {
using nlohmann::ordered_json;

namespace {

constexpr int64_t kComparisonsOfByte = 32;  // of keys, in addition to those of one object at the limit
constexpr size_t kMostPathBytes = size_t{8} << 20;

// The place of the quotation mark that ends the string which begins at `begin`, or the end of the text.
size_t end_of_string(std::string_view text, size_t begin) {
  size_t at = begin + 1;
  while (at < text.size() && text[at] != '"') at += text[at] == '\\' ? 2 : 1;
  return at;
}

std::string escaped(const std::string& key) {
  std::string result;
  for (const char c : key) {
    if (c == '~')
      result += "~0";
    else if (c == '/')
      result += "~1";
    else
      result += c;
  }
  return result;
}

class PathWalk {
 public:
  // False if the paths became too long.
  bool add(const ordered_json& json, const std::string& path) {
    static const ordered_json kNull;
    if (!json.is_structured() || json.empty()) {
      bytes_ += path.size();
      values.emplace_back(path, json.is_structured() ? &kNull : &json);
      return bytes_ <= kMostPathBytes;
    }
    return add_each(json, path + "/");
  }
  // `before`: the path of each value up to its own name.
  bool add_each(const ordered_json& json, const std::string& before) {
    for (const auto& [key, value] : json.items())  // of a list: the numbers of its values
      if (!add(value, before + escaped(key))) return false;
    return true;
  }

  JsonValues values = {};

 private:
  size_t bytes_ = 0;
};

}  // namespace

// Reads the text as the library does up to the first fault of syntax, where the library ends.
std::string json_fault(std::string_view text, const JsonLimits& limits) {
  if (text.find('\0') != std::string_view::npos) return "it has a zero byte";
  const int64_t most_comparisons = limits.keys * limits.keys / 2 + kComparisonsOfByte * int64_t(text.size());
  int64_t comparisons = 0;
  std::vector<int64_t> keys;  // of each list and object that is open
  for (size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '"') {
      at = end_of_string(text, at);
    } else if (c == '[' || c == '{') {
      keys.push_back(0);
      if (keys.size() > size_t(limits.depth))
        return fmt::format("it has lists or objects that are nested more than {} deep", limits.depth);
    } else if ((c == ']' || c == '}') && !keys.empty()) {
      keys.pop_back();
    } else if (c == ':' && !keys.empty()) {
      comparisons += keys.back()++;
      if (keys.back() > limits.keys)
        return fmt::format("it has an object with more than {} keys", limits.keys);
      if (comparisons > most_comparisons) return "it has too many objects with very many keys";
    }
  }
  return "";
}

ordered_json parse_ordered(std::string_view text, const JsonLimits& limits) {
  if (const std::string fault = json_fault(text, limits); !fault.empty()) throw BadJson(fault);
  try {
    return ordered_json::parse(text);
  } catch (const ordered_json::exception& error) {
    throw BadJson(error.what());
  }
}

ordered_json parse_ordered_or_discard(std::string_view text, const JsonLimits& limits) {
  if (!json_fault(text, limits).empty()) return ordered_json(ordered_json::value_t::discarded);
  return ordered_json::parse(text, nullptr, /*allow_exceptions=*/false);
}

std::optional<JsonValues> values_by_path(const ordered_json& json) {
  PathWalk walk;
  if (json.is_structured() && !walk.add_each(json, "")) return std::nullopt;
  return std::move(walk.values);
}

}  // namespace pixart::formats
