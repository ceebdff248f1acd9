#include <fmt/format.h>

#include "cost_bars.h"
#include "page_style.h"
#include "parts.h"
#include "pixart/base/html.h"
#include "pixart/base/utf8.h"
#include "pixart/base/words.h"
#include "pixart/report/page.h"
#include "sections.h"
#include "timeline.h"

namespace pixart::report {
namespace {

// check_page_file() knows the pages of all versions by these.
constexpr std::string_view kBegin = "<header>\n<h1>", kLinks = "<nav aria-label=\"Sections\"><ul>\n";

struct Part {
  std::string id, title, html;
};

std::string assembled(const std::vector<Part>& parts) {
  std::string links(kLinks), sections;
  for (const auto& part : parts) {
    if (part.html.empty()) continue;
    links += fmt::format("<li><a href=\"#{}\">{}</a></li>\n", part.id, html_escaped(part.title));
    sections += section(part.id, part.title, part.html);
  }
  return links + "</ul></nav>\n" + sections;
}

std::string foot(const std::string& made) {
  return made.empty() ? "" : "<footer>" + note(made) + "</footer>\n";
}

// With the folder above, not from the root on: a page is for others, too.
std::string name_with_parent(const std::filesystem::path& folder) {
  const auto whole = std::filesystem::absolute(folder / "").lexically_normal().parent_path();
  return (whole.parent_path().filename() / whole.filename()).generic_string();
}

// Unique names of the runs, if the folders above them differ.
std::vector<std::string> names_of(const std::vector<ReportedRun>& runs) {
  std::vector<std::string> names;
  for (size_t i = 0; i < runs.size(); ++i) {
    bool is_unique = true;
    for (size_t j = 0; j < runs.size(); ++j)
      is_unique = is_unique && (i == j || runs[i].record.name != runs[j].record.name);
    names.push_back(is_unique ? runs[i].record.name : name_with_parent(runs[i].record.folder));
  }
  return names;
}

std::string runs_heading(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names) {
  std::string html = compared_facts(runs, names) + compared_stages(runs, names);
  for (size_t i = 0; i < runs.size(); ++i)
    if (!runs[i].record.remarks.empty())
      html += "<h3>" + html_escaped(names[i]) + ": remarks</h3>\n" + remarks_of(runs[i].record);
  return html;
}

std::string runs_differences(const std::vector<ReportedRun>& runs, const std::vector<std::string>& names) {
  std::string html;
  for (size_t i = 1; i < runs.size(); ++i)
    for (const auto& comparison : runs[i].comparisons) html += differences_html(comparison, names[i]);
  return html;
}

}  // namespace

std::string run_page(const ReportedRun& run, const PageOptions& options) {
  const RunRecord& record = run.record;
  const std::string timeline = timeline_html(record);
  const NamedCost cost{record.name, devices_of(record), cost_of(record, options.rates)};
  const std::vector<Part> parts = {
      {"stages", "Stages", stages_of(run)},
      {"samples", "Sample images", samples_of(run, options.image_bytes)},
      {"curves", "Curves", curves_of(run)},
      {"scores", "Scores",
       scores_of(record) + cards_of({run}, {record.name}) + score_curves_of(record) + studies_of(record) +
           judgements_of(record)},
      {"timeline", "Time line", timeline.empty() ? paragraph("telemetry.jsonl is missing.") : timeline},
      {"cost", "Cost", cost_html({cost}, options.rates)},
      {"data", "Data ledger", ledger_of(record)},
      {"weights", "Weights", weights_of(record)},
      {"configuration", "Configuration", configuration_of(run)},
  };
  const std::string body = std::string(kBegin) + html_escaped(record.name) + "</h1>\n" + facts_of(run) +
                           remarks_of(record) + "</header>\n<main>\n" + assembled(parts) + "</main>\n" +
                           foot(options.made);
  return replace_invalid_utf8(html_page(record.name, body, kPageStyle, {.script = kPageScript}));
}

std::string comparison_page(const std::vector<ReportedRun>& runs, const PageOptions& options) {
  const auto names = names_of(runs);
  std::vector<NamedCost> costs;
  for (size_t i = 0; i < runs.size(); ++i)
    costs.push_back({names[i], devices_of(runs[i].record), cost_of(runs[i].record, options.rates)});
  const std::vector<Part> parts = {
      {"runs", "Runs", runs_heading(runs, names)},
      {"configuration", "Configuration", runs_differences(runs, names)},
      {"curves", "Curves", common_curves(runs, names)},
      {"scores", "Scores", cards_of(runs, names)},
      {"samples", "Last sample images", last_samples(runs, names, options.image_bytes)},
      {"cost", "Cost", cost_html(costs, options.rates)},
  };
  const std::string title = join(names, ", ");
  const std::string body = std::string(kBegin) + html_escaped(title) + "</h1>\n</header>\n<main>\n" +
                           assembled(parts) + "</main>\n" + foot(options.made);
  return replace_invalid_utf8(html_page(title, body, kPageStyle));
}

void check_page_file(const std::filesystem::path& file) {
  require_own_page(file, {kBegin, kLinks}, "pixart report");
}

}  // namespace pixart::report
