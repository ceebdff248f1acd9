#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "chart.h"
#include "parts.h"
#include "pixart/base/html.h"
#include "pixart/base/words.h"
#include "pixart/report/noun_report.h"

namespace pixart::report {
namespace {

constexpr int kPointsPerDecade = 60;

// check_noun_page_file() knows the pages of all versions by it.
constexpr std::string_view kTableBegin = "<div class=\"scroll\"><table class=\"cards\">\n<thead><tr>";

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

std::string table(const std::vector<data::NounStatistics>& rows) {
  std::string html(kTableBegin);
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
  for (const auto& row : data::paper_nouns())
    html += table_row({"paper: " + row.name, row.per_image, row.total, row.valid, row.distinct,
                       row.valid_share, "", "", ""},
                      " class=\"other\"");
  return html + "</tbody></table></div>\n";
}

// Evenly spaced ranks, and the last rank of each rare count, so that the tail is drawn correctly.
Series points_by_rank(const data::NounStatistics& row) {
  Series points;
  double next = 0;
  const size_t size = row.by_count.size();
  for (size_t i = 0; i < size; ++i) {
    const int64_t count = row.by_count[i].second;
    const double position = std::log10(double(i + 1)) * kPointsPerDecade;
    const bool is_last = i + 1 == size || row.by_count[i + 1].second != count;
    const bool is_step = is_last && count <= data::kValidAbove;
    if (position < next && !is_step && i + 1 != size) continue;
    next = std::floor(position) + 1;
    points.push_back({double(i + 1), double(count)});
  }
  return points;
}

// The dotted line is between 10 and 11 occurrences.
std::string curves(const std::vector<data::NounStatistics>& rows) {
  Chart chart{.title = "Occurrences",
              .mark = data::kValidAbove + 0.5,
              .mark_label = fmt::format("valid: more than {} times", data::kValidAbove),
              .is_large = true,
              .rank_of = "noun"};
  for (size_t i = 0; i < rows.size(); ++i)
    chart.lines.push_back({.label = row_label(rows[i], rows),
                           .points = points_by_rank(rows[i]),
                           .style = fmt::format("series-{}", i % kNumSeriesColours)});
  const std::string html = chart_html(chart);
  if (html.empty()) return "";
  return "<h2>How often each noun occurs</h2>\n"
         "<p>Nouns from the most to the least frequent. Nouns above the dotted line occur often enough to be "
         "learned; the paper's share of valid nouns is their share of all distinct nouns.</p>\n" +
         html;
}

std::string most_frequent(const std::vector<data::NounStatistics>& rows, size_t top) {
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

// Escapes the text and replaces "->" by arrows.
std::string with_arrows(const std::string& text) {
  std::string html = html_escaped(text);
  constexpr std::string_view kPlain = "-&gt;";
  for (size_t at = html.find(kPlain); at != std::string::npos; at = html.find(kPlain, at))
    html.replace(at, kPlain.size(), "→");
  return html;
}

// The style that only this page needs.
constexpr std::string_view kStyle =
    R"css(.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; list-style: none; margin: .5rem 0; padding: 0; }
.legend li { display: flex; align-items: center; gap: .5rem; overflow-wrap: anywhere; }
.legend svg { width: 30px; flex: none; } figcaption { font-weight: 500; }
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

void check_noun_page_file(const std::filesystem::path& file) {
  require_own_page(file, {kTableBegin}, "pixart data stats");
}

std::string noun_page(const std::vector<data::NounStatistics>& rows, const NounPage& page) {
  std::string body = "<h1>" + html_escaped(page.title) + "</h1>\n" + table(rows);
  for (const auto& sentence : noun_changes(rows, page.before))
    body += "<p>" + with_arrows(sentence) + ".</p>\n";
  for (const auto& note : page.notes) body += "<p class=\"note\">" + html_escaped(note) + "</p>\n";
  body += curves(rows) + most_frequent(rows, page.top);
  return html_page(page.title, body, kStyle);
}

}  // namespace pixart::report
