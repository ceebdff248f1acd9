// The ledger of samples, the feature sets, and the scores.
#include <fmt/format.h>

#include <algorithm>

#include "parts.h"
#include "pixart/base/html.h"
#include "pixart/base/words.h"
#include "sections.h"

namespace pixart::report {
namespace {

// Number of rows of the source when its latents were made; 0: not known.
int64_t listed_rows(const RunRecord& run, const std::string& source) {
  for (const auto& set : run.features)
    if (set.source == source && set.kind == "latents") return set.rows;
  return 0;
}

std::string reasons_text(const std::map<std::string, int64_t>& rejected) {
  std::vector<std::string> parts;
  for (const auto& [reason, count] : rejected) parts.push_back(with_thousands(count) + " " + reason);
  return parts.empty() ? "none" : join(parts, ", ");
}

std::string sources_table(const RunRecord& run) {
  Table table{.head = {"source", "listed", "accepted", "rejected", "why"}, .rows = {}, .numbers = 3};
  for (const auto& source : run.sources) {
    const int64_t listed = listed_rows(run, source.name), rejected = source.num_rejected();
    const bool adds_up = listed >= rejected && listed > 0;
    table.rows.push_back({source.name, listed > 0 ? with_thousands(listed) : "not known",
                          adds_up ? with_thousands(listed - rejected) : "not known", with_thousands(rejected),
                          reasons_text(source.rejected)});
  }
  return table_html(table);
}

std::string examples(const SourceRecord& source) {
  if (source.examples.empty()) return "";
  Table table{.head = {"key", "reason", "detail"}, .rows = source.examples};
  return details(fmt::format("First rejected samples of {}", source.name), table_html(table));
}

std::string features_table(const RunRecord& run) {
  Table table{.head = {"feature set", "rows", "rejected", "size", "of", "source"}, .rows = {}, .numbers = 3};
  std::string inputs;
  for (const auto& set : run.features) {
    table.rows.push_back({set.folder, with_thousands(set.rows), with_thousands(set.rejected),
                          human_bytes(set.bytes), set.kind, set.source});
    inputs += details("Inputs of " + set.folder, facts_html(set.inputs));
  }
  return "<h3>Features</h3>\n" + table_html(table) + inputs;
}

}  // namespace

std::string ledger_of(const RunRecord& run) {
  std::string html;
  if (!run.sources.empty()) html += sources_table(run);
  for (const auto& source : run.sources) html += examples(source);
  if (run.sources.empty()) html += paragraph("There are no files in quarantine/.");
  return html +
         (run.features.empty() ? paragraph("No feature set has a manifest yet.") : features_table(run));
}

std::string scores_of(const RunRecord& run) {
  if (run.scores.empty()) return "";
  Table table{.head = {"score", "value"}, .rows = {}, .numbers = 1};
  for (const auto& [name, value] : run.scores) table.rows.push_back({name, fmt::format("{:.5g}", value)});
  return table_html(table);
}

}  // namespace pixart::report
