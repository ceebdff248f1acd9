// The summaries of `pixart judge` in a run folder, and their tables.
#include <fmt/format.h>

#include <algorithm>

#include "parts.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/html.h"
#include "pixart/base/words.h"
#include "reading.h"
#include "sections.h"

namespace pixart::report {

namespace {

constexpr std::string_view kKindOfJudge = "pixart judge, 1";  // another number: values of another meaning

using Summaries = std::vector<const JudgeSummary*>;

int64_t count_in(const nlohmann::ordered_json& counts, const char* name) {
  const auto found = counts.find(name);
  return found != counts.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

// Those with the same judge, questions and settings, which compare with one another; in the order of the first ones.
std::vector<Summaries> by_judge(const std::vector<JudgeSummary>& all) {
  std::vector<Summaries> groups;
  for (const auto& one : all) {
    const auto takes = [&](const Summaries& group) {
      return group.front()->name == one.name && group.front()->protocol == one.protocol;
    };
    auto group = std::find_if(groups.begin(), groups.end(), takes);
    if (group == groups.end()) group = groups.emplace(groups.end());
    group->push_back(&one);
  }
  return groups;
}

std::string value_cell(const JudgeSummary& summary, const std::string& name) {
  for (const auto& value : summary.values)
    if (value.name == name)
      return fmt::format("{:.1f} %", value.percent) +
             (value.margin ? fmt::format(" +- {:.1f}", *value.margin) : "");
  return "";
}

std::string judgement_table(const Summaries& group) {
  Table table{.head = {"images of"}, .rows = {}, .numbers = 0};
  for (const auto* summary : group)
    for (const auto& value : summary->values)
      if (std::find(table.head.begin() + 1, table.head.end(), value.name) == table.head.end())
        table.head.push_back(value.name);
  table.numbers = table.head.size() + 2;
  const size_t num_values = table.head.size();
  table.head.insert(table.head.end(), {"images", "questions", "unanswered"});
  for (const auto* summary : group) {
    Cells row = {summary->file};
    for (size_t i = 1; i < num_values; ++i) row.push_back(value_cell(*summary, table.head[i]));
    for (const int64_t count : {summary->images, summary->questions, summary->unanswered})
      row.push_back(with_thousands(count));
    table.rows.push_back(std::move(row));
  }
  return table_html(table);
}

}  // namespace

std::optional<JudgeSummary> parse_judge_summary(const std::string& text) {
  const auto json = card_json(text);
  if (!json.is_object() || json.value("kind", nlohmann::ordered_json()) != kKindOfJudge) return std::nullopt;
  for (const char* part : {"scores", "counts", "protocol"})
    if (!json.contains(part) || !json[part].is_object()) return std::nullopt;
  JudgeSummary summary;
  if (json.contains("name") && json["name"].is_string()) summary.name = json["name"].get<std::string>();
  for (const auto& [name, score] : json["scores"].items()) {
    if (!score.is_object() || !score.contains("percent") || !score["percent"].is_number()) continue;
    JudgeSummary::Value value{.name = name, .percent = score["percent"].get<double>()};
    if (score.contains("margin_95") && score["margin_95"].is_number())
      value.margin = score["margin_95"].get<double>();
    summary.values.push_back(std::move(value));
  }
  const auto& counts = json["counts"];
  summary.images = count_in(counts, "images");
  summary.questions = count_in(counts, "questions");
  summary.unanswered = count_in(counts, "unanswered");
  summary.protocol = by_path(json["protocol"]);
  summary.protocol.erase("images_fingerprint");
  return summary;
}

void read_judgements(RunRecord& run) {
  static const std::regex wanted("(.*/)?summary\\.json");
  constexpr uint64_t kLargest = uint64_t{1} << 20;
  for (const auto& file : files_below(run, "scores", wanted)) {
    const std::string name = file.lexically_relative(run.folder).generic_string();
    try {
      auto summary = parse_judge_summary(read_file(file, kLargest));
      if (!summary) run.remarks.push_back(name + " is not a summary of pixart judge.");
      if (summary) summary->file = name, run.judgements.push_back(std::move(*summary));
    } catch (const UserError& error) {
      run.remarks.push_back(error.what());
    }
  }
}

std::string judgements_of(const RunRecord& run) {
  std::string html;
  for (const auto& group : by_judge(run.judgements)) {
    std::vector<std::pair<std::string, std::string>> facts(group.front()->protocol.begin(),
                                                           group.front()->protocol.end());
    html +=
        "<h3>" + html_escaped(group.front()->name) + "</h3>\n" + judgement_table(group) +
        note(
            "Values of this judge, with half of the 95 % interval; they do not compare with published ones.") +
        details("Protocol", facts_html(facts));
  }
  return html;
}

}  // namespace pixart::report
