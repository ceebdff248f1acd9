#include "event_rows.h"

#include <fmt/format.h>

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

void add_turn(EventStage& stage, int64_t begin, int64_t step) {
  while (!stage.turns.empty() && stage.turns.back().second >= step) stage.turns.pop_back();
  stage.turns.emplace_back(begin, step);
}

// Whether the stage went back to this step or an earlier one after the line. The first turn after the line is the
// one with the earliest step.
bool is_undone(const EventStage& stage, int64_t begin, int64_t step) {
  const auto turn = std::upper_bound(stage.turns.begin(), stage.turns.end(), begin,
                                     [](int64_t at, const auto& one) { return at < one.first; });
  return turn != stage.turns.end() && turn->second <= step;
}

// Not the whole line, which may be deep.
std::string first_text(const std::string& stage, int64_t step, const json& line) {
  std::string text = fmt::format("{} {}", stage, step);
  for (const auto& [key, value] : line.items())
    if (is_value(key, value)) text += fmt::format(" {} {}", key, value.dump());
  return text;
}

class Indexer {
 public:
  explicit Indexer(EventIndex& index) : index_(index) {}

  void add(const json& line, const ByteRange& place) {
    const std::string name = stage_in(line);
    const int64_t step = step_of(line);
    if (name.empty() || step < 0) {
      ++index_.strange;
      return;
    }
    if (index_.first.empty()) index_.first = first_text(name, step, line);
    const auto known = places_.find(name);
    if (known == places_.end() && index_.stages.size() >= kMostStages) {
      ++index_.left_out.lines;
      return;
    }
    const size_t at = known == places_.end() ? index_.stages.size() : known->second;
    if (known == places_.end()) {
      places_.emplace(name, at);
      index_.stages.push_back({.name = name});
    }
    EventStage& stage = index_.stages[at];
    if (step < stage.last_step) add_turn(stage, place.begin, step);
    stage.last_step = step;
    add_place(stage, at, place);
    add_keys(stage, line);
  }

 private:
  void add_place(EventStage& stage, size_t at, const ByteRange& place) {
    if (stage.parts.empty() || last_ != at)
      stage.parts.push_back(place);
    else
      stage.parts.back().end = place.end;
    last_ = at;
  }

  void add_keys(EventStage& stage, const json& line) {
    for (const auto& [key, value] : line.items()) {
      if (!is_value(key, value) || stage.columns.count(key) > 0) continue;
      if (stage.keys.size() >= kMostNames || num_names_ >= kMostNamesOfRun) {
        ++index_.left_out.values;
        continue;
      }
      stage.columns.emplace(key, stage.keys.size());
      stage.keys.push_back(key);
      ++num_names_;
    }
  }

  EventIndex& index_;
  std::map<std::string, size_t> places_;  // of the stages, by name
  size_t last_ = 0, num_names_ = 0;       // last_: the stage of the last line
};

}  // namespace

EventIndex index_events(const std::filesystem::path& file) {
  EventIndex index{.file = file};
  Indexer indexer(index);
  index.count =
      for_each_placed_line(file, [&](const json& line, const ByteRange& place) { indexer.add(line, place); });
  return index;
}

void for_each_row(const EventIndex& index, const EventStage& stage,
                  const std::function<void(int64_t, const EventRow&)>& visit) {
  int64_t row_step = -1;
  EventRow row;
  for_each_line_in(index.file, stage.parts, [&](const json& line, const ByteRange& place) {
    const int64_t step = step_of(line);
    if (step < 0 || stage_in(line) != stage.name || is_undone(stage, place.begin, step)) return;
    if (step != row_step && row_step >= 0) visit(row_step, row);
    if (step != row_step) row.clear();
    row_step = step;
    for (const auto& [key, value] : line.items())
      if (is_value(key, value) && stage.columns.count(key) > 0) row[key] = value;
  });
  if (row_step >= 0) visit(row_step, row);
}

}  // namespace pixart::report
