#include "caption_text.h"

#include <algorithm>
#include <fstream>

#include "json_text.h"
#include "pixart/base/error.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"

namespace pixart::data {

namespace {

bool is_utf16(const std::string& text) {
  return text.starts_with("\xFF\xFE") || text.starts_with("\xFE\xFF");
}

}  // namespace

std::optional<ReadFault> clean_caption_text(std::string& text) {
  std::optional<ReadFault> fault;
  if (text.size() > kLargestCaption) {
    fault = {Reason::kCaptionTooLong, fmt::format("{} bytes, more than {}", text.size(), kLargestCaption)};
  } else if (!is_utf8(text)) {
    fault = {Reason::kBadCaptionText,
             is_utf16(text) ? "the text is UTF-16; save it as UTF-8" : "the text is not UTF-8"};
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

std::optional<std::vector<std::string>> texts_in(const nlohmann::json& field) {
  if (field.is_null()) return std::vector<std::string>();
  if (field.is_string()) return std::vector{field.get<std::string>()};
  if (!field.is_array()) return std::nullopt;
  std::vector<std::string> texts;
  for (const auto& item : field) {
    if (!item.is_string() && !item.is_null()) return std::nullopt;
    std::string text = item.is_null() ? std::string() : item.get<std::string>();
    if (text.find_first_not_of(kBlanks) != std::string::npos) texts.push_back(std::move(text));
  }
  return texts;
}

std::unordered_map<std::string, std::vector<std::string>> read_caption_file(
    const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UserError(fmt::format("captions: cannot read {}.", path.string()));
  std::unordered_map<std::string, std::vector<std::string>> result;
  Problems problems;
  std::string line;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    if (line.find_first_not_of(kBlanks) == std::string::npos) continue;
    const auto row = parse_json(line);
    const bool has_both = row.is_object() && row.contains("key") && row["key"].is_string() &&
                          row.contains("caption") && !row["caption"].is_null();
    auto texts = has_both ? texts_in(row["caption"]) : std::nullopt;
    if (!texts)
      problems.add(fmt::format("line {}: expected an object with the texts key and caption", number));
    else if (!result.emplace(row["key"].get<std::string>(), std::move(*texts)).second)
      problems.add(fmt::format("line {}: a second caption of {}", number, row["key"].get<std::string>()));
  }
  if (file.bad()) problems.add("cannot read it to its end");  // a folder, a failing disk
  problems.throw_if_any("captions " + path.string());
  return result;
}

}  // namespace pixart::data
