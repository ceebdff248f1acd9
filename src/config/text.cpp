#include "text.h"

#include <array>
#include <cmath>
#include <cstring>

#include "pixart/base/error.h"
#include "pixart/base/names.h"

namespace pixart::config::internal {

namespace {

constexpr const char* kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
constexpr const char* kDigits = "0123456789";

bool consists_of(const std::string& text, const std::string& allowed) {
  return text.find_first_not_of(allowed) == std::string::npos;
}

// Words that some YAML readers do not read as text.
bool has_a_meaning(const std::string& word) {
  constexpr std::array kWords = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"};
  return contains(kWords, ascii_lower(word));
}

bool needs_quotes(const std::string& text) {
  if (text.empty() || text.back() == ' ' || has_a_meaning(text)) return true;
  if (!consists_of(text, std::string(kLetters) + kDigits + "_./- ")) return true;
  const bool good_start = std::strchr(kLetters, text[0]) || text[0] == '_' || text[0] == '/' ||
                          text.starts_with("./") || text.starts_with("../");
  return !good_start;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      result += std::string("\\") + c;
    else if (c == '\n')
      result += "\\n";
    else if (c == '\t')
      result += "\\t";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
      result += fmt::format("\\x{:02x}", int(c));
    else
      result += c;
  }
  return result + '"';
}

std::string number_text(double number) {
  PIXART_CHECK(std::isfinite(number), "a config holds a number that is not finite");
  return fmt::format("{}", number);
}

std::string type_name(const Type& type, const char* ending) {
  switch (type.kind) {
    case Kind::kBool:
      return "true or false";
    case Kind::kInteger:
      return std::string("integer") + ending;
    case Kind::kNumber:
      return std::string("number") + ending;
    case Kind::kText:
      return "text";
    case Kind::kPath:
      return std::string("path") + ending;
    case Kind::kList:
      return "list" + std::string(ending) + " of " + type_name(*type.element, "s");
    case Kind::kStruct:
      return std::string("section") + ending;
  }
  return {};
}

}  // namespace

std::string type_name(const Type& type) { return type_name(type, ""); }

std::string rule_text(const Rule& rule) {
  std::vector<std::string> parts;
  if (rule.at_least && rule.at_most) {
    parts.push_back(fmt::format("{} to {}", *rule.at_least, *rule.at_most));
  } else if (rule.more_than && rule.at_most) {
    parts.push_back(fmt::format("more than {}, at most {}", *rule.more_than, *rule.at_most));
  } else {
    if (rule.at_least) parts.push_back(fmt::format("at least {}", *rule.at_least));
    if (rule.at_most) parts.push_back(fmt::format("at most {}", *rule.at_most));
    if (rule.more_than) parts.push_back(fmt::format("more than {}", *rule.more_than));
  }
  if (rule.less_than) parts.push_back(fmt::format("less than {}", *rule.less_than));
  if (!rule.words.empty()) parts.push_back("one of " + join(rule.words, ", "));
  if (rule.length)
    parts.push_back(fmt::format("exactly {} element{}", *rule.length, *rule.length == 1 ? "" : "s"));
  return join(parts, "; ");
}

std::string flow_text(const Type& type, const Value& value) {
  if (value.is_unset()) return "null";
  switch (type.kind) {
    case Kind::kBool:
      return std::get<bool>(value.data) ? "true" : "false";
    case Kind::kInteger:
      return fmt::format("{}", std::get<int64_t>(value.data));
    case Kind::kNumber:
      return number_text(std::get<double>(value.data));
    case Kind::kText:
    case Kind::kPath: {
      const auto& text = std::get<std::string>(value.data);
      return needs_quotes(text) ? quoted(text) : text;
    }
    case Kind::kList:
    case Kind::kStruct:
      break;
  }
  const bool is_list = type.kind == Kind::kList;
  std::vector<std::string> parts;
  for (size_t i = 0; i < value.items().size(); ++i) {
    const Value& item = value.items()[i];
    if (is_list)
      parts.push_back(flow_text(*type.element, item));
    else
      parts.push_back(type.fields[i].key + ": " + flow_text(type.fields[i].type, item));
  }
  return (is_list ? "[" : "{") + join(parts, ", ") + (is_list ? "]" : "}");
}

std::string shortened(const std::string& text) {
  constexpr size_t kMostBytes = 200;
  if (text.size() <= kMostBytes) return text;
  size_t end = kMostBytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not inside a character
  return text.substr(0, end) + "...";
}

std::string path_below(const std::string& path, const std::string& key) {
  return path.empty() || key.empty() ? path + key : path + "." + key;
}

std::string element_name(const std::string& name, size_t index) {
  const bool is_usable =
      !name.empty() && name.find_first_of(".=") == std::string::npos && !consists_of(name, kDigits);
  return is_usable ? name : std::to_string(index);
}

}  // namespace pixart::config::internal
