#include "parts.h"

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/html.h"

namespace pixart::report {
namespace fs = std::filesystem;

std::string table_html(const Table& table) {
  const auto kind = [&](size_t column) { return column <= table.numbers ? " class=\"number\"" : ""; };
  // The keyboard must reach a region that scrolls.
  std::string html = fmt::format("<div class=\"scroll\" tabindex=\"0\"><table{}>\n<thead><tr>",
                                 table.cards ? " class=\"cards\"" : "");
  for (size_t i = 0; i < table.head.size(); ++i)
    html += fmt::format("<th scope=\"col\"{}>{}</th>", i == 0 ? "" : kind(i), html_escaped(table.head[i]));
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : table.rows) {
    html += "<tr><th scope=\"row\">" + html_escaped(row.front()) + "</th>";
    for (size_t i = 1; i < row.size(); ++i)
      html += fmt::format("<td{}{}>{}</td>", kind(i),
                          table.cards ? fmt::format(" data-name=\"{}\"", html_escaped(table.head[i])) : "",
                          html_escaped(row[i]));
    html += "</tr>\n";
  }
  return html + "</tbody></table></div>\n";
}

std::string facts_html(const std::vector<std::pair<std::string, std::string>>& facts) {
  std::string html = "<dl class=\"facts\">\n";
  for (const auto& [name, text] : facts)
    if (!text.empty())
      html += fmt::format("<div><dt>{}</dt><dd>{}</dd></div>\n", html_escaped(name), html_escaped(text));
  return html + "</dl>\n";
}

std::string paragraph(std::string_view text) { return "<p>" + html_escaped(text) + "</p>\n"; }

std::string note(std::string_view text) { return "<p class=\"note\">" + html_escaped(text) + "</p>\n"; }

std::string details(std::string_view summary, std::string_view html) {
  return fmt::format("<details><summary>{}</summary>\n{}</details>\n", html_escaped(summary), html);
}

std::string section(std::string_view id, std::string_view title, std::string_view html) {
  return fmt::format(
      "<section id=\"{0}\" aria-labelledby=\"{0}-title\">\n<h2 id=\"{0}-title\">{1}</h2>\n{2}</section>\n",
      id, html_escaped(title), html);
}

void require_own_page(const fs::path& file, const std::vector<std::string_view>& marks,
                      std::string_view command, std::string_view kind) {
  constexpr uint64_t kLargest = uint64_t{256} << 20;
  std::error_code error;
  if (fs::is_directory(file, error))
    throw UserError(file.string() + " is a folder: give a file for the " + std::string(kind) + ".");
  if (!fs::exists(file, error)) return;
  const bool is_read = fs::is_regular_file(file, error) && fs::file_size(file, error) <= kLargest;
  const std::string text = is_read ? read_file(file, kLargest) : "";
  const bool is_page =
      std::ranges::all_of(marks, [&](std::string_view mark) { return text.find(mark) != std::string::npos; });
  if (!is_page)
    throw UserError(fmt::format(
        "{} is there and is not a {} of {}, so it is not replaced: give another file, or move it away.",
        file.string(), kind, command));
}

}  // namespace pixart::report
