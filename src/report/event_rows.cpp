#include "event_rows.h"

#include <algorithm>

namespace pixart::report {
using nlohmann::json;

namespace {

bool is_value(const std::string& key, const json& value) {
  return key != "stage" && key != "step" && (value.is_number() || value.is_null());
}

// -1: the line has none.
int64_t step_of(const json& line) {
  constexpr int64_t kMost = 1'000'000'000'000'000;
  const int64_t step = integer_in(line, "step", -1);
  return step <= kMost ? step : -1;
}

void add_line(EventStage& stage, const json& line, int64_t number, int64_t step) {
  if (step < stage.last_step) stage.turns.emplace_back(number, step);
  stage.last_step = step;
  for (const auto& [key, value] : line.items())
    if (is_value(key, value) && std::find(stage.keys.begin(), stage.keys.end(), key) == stage.keys.end())
      stage.keys.push_back(key);
}

// Whether the stage went back to this step or an earlier one after the line.
bool is_undone(const EventStage& stage, int64_t number, int64_t step) {
  return std::any_of(stage.turns.begin(), stage.turns.end(),
                     [&](const auto& turn) { return turn.first > number && turn.second <= step; });
}

}  // namespace

EventIndex index_events(const std::filesystem::path& file) {
  EventIndex index{.file = file};
  int64_t number = 0;
  index.count = for_each_json_line(file, [&](const json& line) {
    const std::string name = text_in(line, "stage");
    const int64_t step = step_of(line);
    ++number;
    if (name.empty() || step < 0) {
      ++index.strange;
      return;
    }
    auto stage = std::find_if(index.stages.begin(), index.stages.end(),
                              [&](const auto& one) { return one.name == name; });
    if (stage == index.stages.end()) stage = index.stages.insert(stage, EventStage{.name = name});
    add_line(*stage, line, number, step);
  });
  return index;
}

void for_each_row(const EventIndex& index, const EventStage& stage,
                  const std::function<void(int64_t, const EventRow&)>& visit) {
  int64_t number = 0, row_step = -1;
  EventRow row;
  for_each_json_line(index.file, [&](const json& line) {
    ++number;
    const int64_t step = step_of(line);
    if (number > index.count.read || step < 0 || text_in(line, "stage") != stage.name ||
        is_undone(stage, number, step))
      return;
    if (step != row_step && row_step >= 0) visit(row_step, row);
    if (step != row_step) row.clear();
    row_step = step;
    for (const auto& [key, value] : line.items())
      if (is_value(key, value)) row[key] = value;
  });
  if (row_step >= 0) visit(row_step, row);
}

}  // namespace pixart::report
