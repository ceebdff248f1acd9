#include <fmt/format.h>

#include <algorithm>

#include "noun_curve.h"
#include "pixart/base/html.h"
#include "pixart/base/words.h"
#include "pixart/data/noun_report.h"

namespace pixart::data {
namespace {

using Cells = std::vector<std::string>;

const Cells& column_names() {
  static const Cells names = {"captions",    "nouns per image", "total nouns",    "valid",     "distinct",
                              "valid share", "images",          "words (median)", "5 % – 95 %"};
  return names;
}

// The first of `cells` names the row.
std::string table_row(const Cells& cells, std::string_view kind) {
  std::string html = fmt::format("<tr{}><th scope=\"row\">{}</th>", kind, html_escaped(cells.front()));
  for (size_t i = 1; i < cells.size(); ++i)
    html += fmt::format("<td class=\"number\" data-name=\"{}\">{}</td>", column_names()[i],
                        html_escaped(cells[i]));
  return html + "</tr>\n";
}

std::string table(const std::vector<NounStatistics>& rows) {
  std::string html = "<div class=\"scroll\"><table class=\"cards\">\n<thead><tr>";
  for (const auto& name : column_names())
    html += fmt::format("<th scope=\"col\"{}>{}</th>",
                        &name == &column_names().front() ? "" : " class=\"number\"", name);
  html += "</tr></thead>\n<tbody>\n";
  for (const auto& row : rows)
    html += table_row({row_label(row, rows), fmt::format("{:.1f}", row.per_image()),
                       with_thousands(row.total), with_thousands(row.valid), with_thousands(row.distinct),
                       fmt::format("{:.1f} %", 100 * row.valid_share()), with_thousands(row.images),
                       with_thousands(row.words_median), fmt::format("{} – {}", row.words_5, row.words_95)},
                      "");
  for (const auto& row : paper_nouns())
    html += table_row({"paper: " + row.name, row.per_image, row.total, row.valid, row.distinct,
                       row.valid_share, "", "", ""},
                      " class=\"other\"");
  return html + "</tbody></table></div>\n";
}

// Which line is whose, with the line drawn as it is in the curve.
std::string legend(const std::vector<NounStatistics>& rows) {
  const auto item = [](const std::string& line, const std::string& text) {
    return fmt::format(
        "<li><svg viewBox=\"0 0 36 10\" aria-hidden=\"true\"><line class=\"{}\" x1=\"1\" x2=\"35\" y1=\"5\" "
        "y2=\"5\"/></svg>{}</li>\n",
        line, html_escaped(text));
  };
  std::string html = "<ul class=\"legend\">\n";
  for (size_t i = 0; i < rows.size(); ++i)
    html += item(fmt::format("series-{}", i % kNumSeriesColours), row_label(rows[i], rows));
  return html + item("mark", fmt::format("valid: more than {} times", kValidAbove)) + "</ul>\n";
}

std::string curve(const std::vector<NounStatistics>& rows) {
  return "<h2>How often each noun occurs</h2>\n"
         "<p>Nouns from the most to the least frequent. Those above the dotted line occur often enough to be "
         "learned; the "
         "tail below it is what the paper's share of valid nouns is about.</p>\n" +
         legend(rows) + "<figure>\n<div class=\"wide\">" + noun_curve_svg(rows, 920, 420) +
         "</div>\n<div class=\"narrow\">" + noun_curve_svg(rows, 380, 330) + "</div>\n</figure>\n";
}

std::string most_frequent(const std::vector<NounStatistics>& rows, size_t top) {
  if (top == 0) return "";
  std::string html = "<h2>Most frequent nouns</h2>\n<div class=\"columns\">\n";
  for (size_t series = 0; series < rows.size(); ++series) {
    const auto& row = rows[series];
    html += "<section><h3>" + html_escaped(row_label(row, rows)) + "</h3>\n<ol>\n";
    const size_t count = std::min(top, row.by_count.size());
    for (size_t i = 0; i < count; ++i) {
      const double share = double(row.by_count[i].second) / double(row.by_count.front().second);
      html += fmt::format(
          "<li><span>{}</span><span class=\"bar\"><i "
          "style=\"width:{:.1f}%;background:var(--s{})\"></i></span>"
          "<span>{}</span></li>\n",
          html_escaped(row.by_count[i].first), 100 * share, series % kNumSeriesColours,
          with_thousands(row.by_count[i].second));
    }
    html += "</ol></section>\n";
  }
  return html + "</div>\n";
}

// Escaped, with arrows for those of plain text.
std::string with_arrows(const std::string& text) {
  std::string html = html_escaped(text);
  constexpr std::string_view kPlain = "-&gt;";
  for (size_t at = html.find(kPlain); at != std::string::npos; at = html.find(kPlain, at))
    html.replace(at, kPlain.size(), "→");
  return html;
}

// What only this page has.
constexpr std::string_view kStyle =
    R"css(.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; list-style: none; margin: .5rem 0; padding: 0; }
.legend li { display: flex; align-items: center; gap: .5rem; overflow-wrap: anywhere; }
.legend svg { width: 36px; flex: none; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); gap: 0 2.5rem; }
h3 { font-size: 1rem; margin: .6rem 0 .3rem; overflow-wrap: anywhere; }
ol { list-style: none; margin: 0; padding: 0; max-width: 30rem; }
ol li { display: grid; grid-template-columns: 7.5rem 1fr 4.5rem; gap: .6rem; align-items: center; padding: .1rem 0;
  font-variant-numeric: tabular-nums; }
ol li span { overflow-wrap: anywhere; } ol li span:last-child { text-align: right; }
.bar { background: var(--stripe); height: .55rem; } .bar i { display: block; height: 100%; }
@media print { .bar i { print-color-adjust: exact; } }
)css";

}  // namespace

std::string noun_page(const std::vector<NounStatistics>& rows, const NounPage& page) {
  std::string body = "<h1>" + html_escaped(page.title) + "</h1>\n" + table(rows);
  for (const auto& sentence : noun_changes(rows, page.before))
    body += "<p>" + with_arrows(sentence) + ".</p>\n";
  for (const auto& note : page.notes) body += "<p class=\"note\">" + html_escaped(note) + "</p>\n";
  body += curve(rows) + most_frequent(rows, page.top);
  return html_page(page.title, body, kStyle);
}

}  // namespace pixart::data
