#include "caption_text.h"

#include <algorithm>
#include <array>
#include <fstream>

#include "json_text.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"

namespace pixart::data {

namespace {

// Reads the text from the quote at `at` to the next one, and moves `at` past that. Nothing if the quote or
// its end is missing, or for an escape that Python does not write into a usual text.
std::optional<std::string> read_quoted(std::string_view text, size_t& at) {
  const char quote = text[at];
  if (quote != '\'' && quote != '"') return std::nullopt;
  std::string inside;
  for (++at; at < text.size(); ++at) {
    if (text[at] == quote) return ++at, inside;
    if (text[at] != '\\') {
      inside += text[at];
      continue;
    }
    constexpr std::string_view kEscapes = "nrt\\'\"", kMeanings = "\n\r\t\\'\"";
    const size_t known = ++at < text.size() ? kEscapes.find(text[at]) : std::string_view::npos;
    if (known == std::string_view::npos) return std::nullopt;
    inside += kMeanings[known];
  }
  return std::nullopt;
}

// The texts of a list that was written as one text, as pandas writes it into CSV: ['one', "it's two"], or
// without commas, as NumPy does. Nothing if it is another text.
std::optional<std::vector<std::string>> written_list(std::string_view text) {
  size_t at = text.find_first_not_of(kBlanks);
  if (at == std::string_view::npos || text[at] != '[') return std::nullopt;
  const size_t end = text.find_last_not_of(kBlanks);
  if (text[end] != ']') return std::nullopt;
  std::vector<std::string> items;
  for (at = text.find_first_not_of(kBlanks, at + 1); at < end; at = text.find_first_not_of(kBlanks, at)) {
    if (!items.empty() && text[at] == ',') at = text.find_first_not_of(kBlanks, at + 1);
    auto item = read_quoted(text, at);
    if (!item || at > end) return std::nullopt;
    items.push_back(std::move(*item));
  }
  return items.empty() ? std::nullopt : std::optional(std::move(items));
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
             fmt::format("{}control character 0x{:02x} at byte {}",
                         *control == kLoneHalf ? "half of a surrogate pair, or " : "", uint8_t(*control),
                         control - text.begin())};
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
  if (field.is_string()) {
    const auto& text = field.get_ref<const std::string&>();
    if (text.starts_with("[\"")) {
      const auto list = parse_json(text);
      if (auto texts = list.is_array() && !list.empty() ? texts_in(list) : std::nullopt) return texts;
    }
    const auto items = written_list(text);
    return items ? texts_in(nlohmann::json(*items)) : std::optional(std::vector{text});
  }
  if (!field.is_array()) return std::nullopt;
  std::vector<std::string> texts;
  for (const auto& item : field) {
    if (!item.is_string() && !item.is_null()) return std::nullopt;
    std::string text = item.is_null() ? std::string() : item.get<std::string>();
    if (text.find_first_not_of(kBlanks) != std::string::npos) texts.push_back(std::move(text));
  }
  return texts;
}

void read_caption_file(const std::filesystem::path& path, const std::function<bool(CaptionLine&)>& take) {
  require_no_pipe(path);
  std::ifstream file(path, std::ios::binary);
  if (!file) throw UserError(fmt::format("captions: cannot read {}.", path.string()));
  std::array<char, 4> start{};
  if (file.read(start.data(), start.size()) && std::string_view(start.data(), start.size()) == "PAR1")
    throw UserError(fmt::format(
        "captions: {} is a Parquet file whose name does not end in .parquet. Rename it.", path.string()));
  file.clear(), file.seekg(0);
  Problems problems;
  std::string line;
  uint64_t offset = 0;
  for (int64_t number = 1; std::getline(file, line); ++number) {
    CaptionLine found{.offset = offset, .bytes = line.size()};
    offset += line.size() + 1;
    if (line.find_first_not_of(kBlanks) == std::string::npos) continue;
    const auto row = parse_json(line);
    const bool has_both = row.is_object() && row.contains("key") && row["key"].is_string() &&
                          row.contains("caption") && !row["caption"].is_null();
    auto texts = has_both ? texts_in(row["caption"]) : std::nullopt;
    if (!texts) {
      problems.add(fmt::format("line {}: expected an object with the texts key and caption", number));
      continue;
    }
    found.key = row["key"].get<std::string>(), found.texts = std::move(*texts);
    if (!take(found)) problems.add(fmt::format("line {}: a second caption of {}", number, found.key));
  }
  if (file.bad()) problems.add("cannot read it to its end");  // a folder, a failing disk
  problems.throw_if_any("captions " + path.string());
}

}  // namespace pixart::data
