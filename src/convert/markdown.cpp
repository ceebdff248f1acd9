#include "markdown.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pixart/base/utf8.h"
#include "pixart/base/words.h"

namespace pixart::convert {

namespace {

// Of "www.x.y" readers make a link.
bool ends_in_www(const std::string& text) {
  constexpr std::string_view kWww = "www";
  return text.size() >= kWww.size() && ascii_lower(text.substr(text.size() - kWww.size())) == kWww;
}

// A colon that begins a line, or has no blank after it, may be part of a definition, a link or an emoji.
bool is_special(const std::string& line, size_t at) {
  constexpr std::string_view kSpecial = "\\`*_{}[]()#|~!$@";
  if (line[at] == ':') return at == 0 || at + 1 == line.size() || line[at + 1] != ' ';
  return kSpecial.find(line[at]) != std::string_view::npos;
}

bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20) || c == 0x7F; }

// One line, in UTF-8, without control characters.
std::string one_line(std::string_view text) {
  std::string line = replace_invalid_utf8(text);
  std::replace_if(line.begin(), line.end(), is_control, ' ');
  return trimmed(line);
}

std::string row_text(const std::vector<std::string>& cells) {
  std::string text = "|";
  for (const auto& cell : cells) text += " " + cell + " |";
  return text + "\n";
}

}  // namespace

std::string markdown(std::string_view text) {
  const std::string line = one_line(text);
  std::string result;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else if (c == '&')
      result += "&amp;";
    else if (is_special(line, i) || (c == '.' && ends_in_www(result)))
      result += std::string("\\") + c;
    else
      result += c;
  }
  return result;
}

std::string markdown_code(std::string_view text) {
  const std::string line = one_line(text);
  // Backslashes do not escape in code, so what would end it or a cell is shown as plain text.
  return line.empty() || line.find_first_of("`|\\") != std::string::npos ? markdown(line) : "`" + line + "`";
}

std::string markdown_table(const std::vector<std::string>& head,
                           const std::vector<std::vector<std::string>>& rows) {
  const auto escaped = [](const std::vector<std::string>& cells) {
    std::vector<std::string> result;
    for (const auto& cell : cells) result.push_back(markdown(cell));
    return result;
  };
  std::string table = row_text(escaped(head)) + row_text(std::vector<std::string>(head.size(), "---"));
  for (const auto& row : rows) table += row_text(escaped(row));
  return table;
}

std::string yaml_text(std::string_view text) {
  // JSON's strings are YAML's, without the line ends of Unicode.
  std::string line = one_line(text);
  for (const char* end : {"\u0085", "\u2028", "\u2029"})
    for (size_t at = line.find(end); at != std::string::npos; at = line.find(end))
      line.replace(at, std::string_view(end).size(), " ");
  return nlohmann::json(line).dump();
}

}  // namespace pixart::convert
