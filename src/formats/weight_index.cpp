#include "weight_index.h"

#include "input_file.h"
#include "json_cursor.h"
#include "pixart/base/file.h"

namespace pixart::formats {

std::map<std::string, std::string> parse_weight_index(std::string_view text, const std::string& name) {
  JsonCursor json(text, name, 0, "an index of weight shards");
  std::map<std::string, std::string> map;
  json.object("key", [&](const std::string& key) {
    if (key != "weight_map") return json.skip_value();
    json.object("tensor", [&](const std::string& tensor) {
      if (!json.sees('"')) json.fail(fmt::format("tensor {} has no file name", shown(tensor)));
      const std::string file = json.string();
      if (!is_bare_name(file))
        json.fail(fmt::format("tensor {}: {} is not a plain file name", shown(tensor), shown(file)));
      map.emplace(tensor, file);
    });
  });
  json.end();
  if (map.empty()) json.fail("weight_map is missing or empty");
  return map;
}

std::map<std::string, std::string> read_weight_index(const std::filesystem::path& path) {
  constexpr uint64_t kLargest = 64 << 20;
  return parse_weight_index(read_file(path, kLargest), path.string());
}

}  // namespace pixart::formats
