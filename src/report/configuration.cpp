#include <fmt/format.h>

#include "parts.h"
#include "pixart/base/html.h"
#include "sections.h"

namespace pixart::report {

std::string differences_html(const ConfigComparison& comparison, const std::string& run) {
  const std::string title = run.empty() ? "Differences from " : run + ": differences from ";
  std::string html = "<h3>" + html_escaped(title + comparison.with) + "</h3>\n";
  if (!comparison.problem.empty())
    return html + paragraph(
                      "The differences are "
                      "not known: " +
                      comparison.problem);
  if (comparison.differences.empty()) return html + paragraph("None.");
  Table table{.head = {"key", comparison.with, run.empty() ? "this run" : run}, .rows = {}};
  for (const auto& difference : comparison.differences)
    table.rows.push_back({difference.path, difference.was, difference.is});
  constexpr size_t kMany = 12;
  const std::string rows = table_html(table);
  return html +
         (table.rows.size() <= kMany ? rows : details(fmt::format("{} keys", table.rows.size()), rows));
}

std::string configuration_of(const ReportedRun& run) {
  if (run.record.yaml.empty()) return paragraph("run.yaml is missing.");
  std::string html;
  for (const auto& comparison : run.comparisons) html += differences_html(comparison, "");
  return html + "<h3>run.yaml</h3>\n" +
         details("Every key with its value",
                 "<pre tabindex=\"0\">" + html_escaped(run.record.yaml) + "</pre>\n");
}

}  // namespace pixart::report
