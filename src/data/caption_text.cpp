#include "caption_text.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"

namespace pixart::data {

std::optional<ReadFault> clean_caption_text(std::string& text) {
  std::optional<ReadFault> fault;
  if (text.size() > kLargestCaption) {
    fault = {Reason::kCaptionTooLong, fmt::format("{} bytes, more than {}", text.size(), kLargestCaption)};
  } else if (!is_utf8(text)) {
    fault = {Reason::kBadCaptionText, "the text is not UTF-8"};
  } else if (const auto control = std::find_if(text.begin(), text.end(),
                                               [](char c) {
                                                 const auto byte = uint8_t(c);
                                                 return (byte < 0x20 && !(byte >= 0x09 && byte <= 0x0D)) ||
                                                        byte == 0x7F;
                                               });
             control != text.end()) {
    fault = {Reason::kBadCaptionText,
             fmt::format("control character 0x{:02x} at byte {}", uint8_t(*control), control - text.begin())};
  }
  if (fault) {
    text.clear();
    return fault;
  }
  text = trimmed(std::string_view(text).substr(text.starts_with("\xEF\xBB\xBF") ? 3 : 0));
  return std::nullopt;
}

std::unordered_map<std::string, std::string> read_caption_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UserError(fmt::format("captions: cannot read {}.", path.string()));
  std::unordered_map<std::string, std::string> result;
  Problems problems;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.empty()) continue;
    const auto row = nlohmann::json::parse(line, nullptr, false);
    const auto has = [&](const char* key) { return row.contains(key) && row[key].is_string(); };
    if (!row.is_object() || !has("key") || !has("caption"))
      problems.add(fmt::format("line {}: expected an object with the texts key and caption", number));
    else if (!result.emplace(row["key"], row["caption"]).second)
      problems.add(fmt::format("line {}: a second caption of {}", number, row["key"].get<std::string>()));
  }
  if (file.bad()) problems.add("cannot read it to its end");  // a folder, a failing disk
  problems.throw_if_any("captions " + path.string());
  return result;
}

}  // namespace pixart::data
