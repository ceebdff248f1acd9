// Curves of the scores that a stage has at several steps, from the cards of a run.
#include <algorithm>

#include "chart.h"
#include "reading.h"
#include "sections.h"

namespace pixart::report {
namespace {

constexpr size_t kStyles = 6;

using Cards = std::vector<const ScoreCard*>;

// Cards of one protocol, because only their values compare, over the steps. The groups are those of the table.
std::vector<Cards> groups_of(const RunRecord& run) {
  Cards all;
  for (const auto& card : run.cards) all.push_back(&card);
  std::vector<Cards> groups = by_protocol(all);
  for (auto& group : groups) {
    std::erase_if(group, [](const auto* card) { return card->step < 0; });
    std::stable_sort(group.begin(), group.end(),
                     [](const auto* a, const auto* b) { return a->step < b->step; });
  }
  return groups;
}

// Distinct texts in order of first occurrence.
void add_new(std::vector<std::string>& all, const std::string& text) {
  if (std::find(all.begin(), all.end(), text) == all.end()) all.push_back(text);
}

Series curve_of(const Cards& cards, const std::string& stage, const std::string& metric) {
  Series points;
  for (const auto* card : cards)
    for (const auto& [name, value] : card->values)
      if (card->stage == stage && name == metric) append(points, double(card->step), value);
  return points;
}

// `protocol`: "", or its letter if there are several.
std::string chart_of(const Cards& cards, const std::vector<std::string>& stages, const std::string& metric,
                     const std::string& protocol) {
  Chart chart{.title = protocol.empty() ? metric : metric + ", protocol " + protocol};
  for (const auto& stage : stages)
    if (auto points = curve_of(cards, stage, metric); points.size() > 1)
      chart.lines.push_back({.label = stage,
                             .points = std::move(points),
                             .style = "series-" + std::to_string(chart.lines.size() % kStyles)});
  return chart.lines.empty() ? "" : chart_html(chart);
}

}  // namespace

std::string score_curves_of(const RunRecord& run) {
  std::string charts;
  const auto groups = groups_of(run);
  for (size_t i = 0; i < groups.size(); ++i) {
    const Cards& cards = groups[i];
    std::vector<std::string> stages, metrics;
    for (const auto* card : cards) {
      add_new(stages, card->stage);
      for (const auto& [name, value] : card->values)
        if (!name.ends_with("_deviation")) add_new(metrics, name);
    }
    const std::string protocol = groups.size() > 1 ? protocol_letter(i) : "";
    for (const auto& metric : metrics) charts += chart_of(cards, stages, metric, protocol);
  }
  return charts.empty() ? "" : "<div class=\"charts\">\n" + charts + "</div>\n";
}

}  // namespace pixart::report
