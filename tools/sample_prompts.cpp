#include "sample_prompts.h"

#include <algorithm>
#include <iostream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string_view>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/home.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/data/python_json.h"
#include "pixart/sample/suite.h"

namespace pixart::tools {

namespace {

using nlohmann::json;

std::string text_of_file(const std::string& path) {
  if (path != "-") return read_file(with_home(path), 16 << 20);
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

bool is_blank(const std::string& line) { return line.find_first_not_of(kBlanks) == std::string::npos; }

bool has_objects(const std::string& path, const std::vector<std::string>& lines) {
  const std::string name = ascii_lower(path);
  if (name.ends_with(".jsonl") || name.ends_with(".ndjson")) return true;
  const auto first = std::find_if_not(lines.begin(), lines.end(), is_blank);
  return first != lines.end() && json::parse(*first, nullptr, false).is_object();
}

// The prompts in a line, or why there are none.
struct Line {
  std::vector<std::string> prompts = {};
  std::string fault = {};
};

Line texts_of(const json& value) {
  if (value.is_string()) return {.prompts = {value.get<std::string>()}};
  Line line;
  if (value.is_array())
    for (const auto& item : value)
      if (item.is_string()) line.prompts.push_back(item.get<std::string>());
  if (line.prompts.empty() || line.prompts.size() != value.size())
    return {.fault = "has a prompt that is not a text"};
  return line;
}

Line read_object(const std::string& text) {
  json object = json::parse(text, nullptr, false);
  if (std::string plain = text; object.is_discarded() && data::blank_python_numbers(plain))
    object = json::parse(plain, nullptr, false);
  if (object.is_discarded()) return {.fault = "is not JSON"};
  if (!object.is_object()) return {.fault = "is not a JSON object with a prompt"};
  for (const char* key : sample::kPromptKeys)
    if (const auto found = object.find(key); found != object.end()) return texts_of(*found);
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) keys.push_back(key);
  return {.fault = sample::lacks_prompt(keys)};
}

Line read_line(const std::string& text, bool is_object) {
  if (const auto fault = is_object ? std::string() : sample::prompt_fault(text); !fault.empty())
    return {.fault = fault};
  Line line = is_object ? read_object(text) : Line{.prompts = {text}};
  for (const auto& prompt : line.prompts)
    if (line.fault.empty()) line.fault = sample::prompt_fault(prompt);
  return line;
}

}  // namespace

std::vector<std::string> read_prompts(const std::string& path) {
  const std::string name = path == "-" ? "standard input" : path, text = text_of_file(path);
  refuse_utf16(text, name);
  const auto lines = lines_of(text);
  const bool are_objects = has_objects(path, lines);
  Problems problems;
  std::vector<std::string> prompts;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (are_objects ? is_blank(lines[i]) : lines[i].empty()) continue;
    const Line line = read_line(lines[i], are_objects);
    if (!line.fault.empty()) problems.add(fmt::format("line {} {}", i + 1, line.fault));
    for (const auto& prompt : line.prompts)
      if (!prompt.empty()) prompts.push_back(prompt);
  }
  problems.throw_if_any(name);
  if (prompts.empty()) throw UserError(name + " has no prompts; write one prompt per line.");
  return prompts;
}

}  // namespace pixart::tools
