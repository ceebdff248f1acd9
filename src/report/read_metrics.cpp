// Reads events.jsonl and telemetry.jsonl.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "reading.h"

namespace pixart::report {
using nlohmann::json;

namespace {

bool is_step(const std::optional<double>& number) {
  constexpr double kMost = 1e15;
  return number && *number >= 0 && *number <= kMost;
}

// Adds every number of the line to its series, at the line's step.
void add_numbers(const json& line, double step, std::map<std::string, Series>& to) {
  for (const auto& [key, value] : line.items()) {
    if (key == "step") continue;
    if (const auto number = number_in(line, key.c_str())) append(to[key], step, *number);
  }
}

class EventsReader {
 public:
  explicit EventsReader(RunRecord& run) : run_(run) {}

  void add(const json& line) {
    const std::string name = stage_in(line);
    const auto step = number_in(line, "step");
    if (name.empty() || !is_step(step)) {
      ++num_strange_;
      return;
    }
    StageRecord* stage = stage_of(run_, name);
    if (stage == nullptr) {
      ++left_out_.lines;
      return;
    }
    stage->last_step = std::max(stage->last_step, *step);
    add_metrics(line, *step, stage->metrics);
  }

  int64_t num_strange() const { return num_strange_; }
  const LeftOut& left_out() const { return left_out_; }

 private:
  void add_metrics(const json& line, double step, std::map<std::string, Series>& to) {
    for (const auto& [key, value] : line.items()) {
      const auto number = key == "step" ? std::nullopt : number_in(line, key.c_str());
      if (!number) continue;
      auto series = to.find(key);
      if (series == to.end()) {
        if (to.size() >= kMostNames || num_names_ >= kMostNamesOfRun) {
          ++left_out_.values;
          continue;
        }
        series = to.emplace(key, Series()).first;
        ++num_names_;
      }
      append(series->second, step, *number);
    }
  }

  RunRecord& run_;
  int64_t num_strange_ = 0;
  size_t num_names_ = 0;
  LeftOut left_out_;
};

class TelemetryReader {
 public:
  explicit TelemetryReader(RunRecord& run) : run_(run) {}

  void add(const json& line) {
    const auto time = parsed_time(text_in(line, "time"));
    const std::string kind = text_in(line, "kind");
    if (!time || kind.empty()) {
      ++num_strange_;
      return;
    }
    if (kind == "start" || run_.processes.empty()) start(line, *time);
    auto& process = run_.processes.back();
    process.end = std::max(process.end, *time);
    process.reason.clear();  // a line after a stop: the process continued with another stage
    const TelemetryEvent event{.time = *time,
                               .process = run_.processes.size() - 1,
                               .kind = kind,
                               .stage = text_in(line, "stage"),
                               .step = integer_in(line, "step", -1)};
    if (!event.stage.empty()) in_stage(line, event, stage_of(run_, event.stage));
    if (kind == "interval") interval(line, process);
    if (kind == "stop") {
      process.reason = text_in(line, "reason").empty() ? "no reason given" : text_in(line, "reason");
      process.message = text_in(line, "message");
    }
    run_.events.push_back(event);
  }

  int64_t num_strange() const { return num_strange_; }
  const LeftOut& left_out() const { return left_out_; }

 private:
  void start(const json& line, double time) {
    run_.processes.push_back({.begin = time,
                              .end = time,
                              .host = text_in(line, "host"),
                              .device = text_in(line, "device"),
                              .version = text_in(line, "version"),
                              .torch = text_in(line, "torch"),
                              .ranks = std::max<int64_t>(1, integer_in(line, "processes", 1)),
                              .devices = std::max<int64_t>(1, integer_in(line, "devices", 1)),
                              .threads = integer_in(line, "threads", 0),
                              .pid = integer_in(line, "pid", 0)});
  }

  void in_stage(const json& line, const TelemetryEvent& event, StageRecord* stage) {
    if (stage == nullptr) {
      ++left_out_.lines;
      return;
    }
    stage->last_step = std::max(stage->last_step, double(event.step));
    if (event.kind == "stage") {
      for (const auto& [key, value] : line.items())
        if (value.is_number() && key != "step") stage->facts[key] = value.get<double>();
    } else if (event.kind == "interval" && event.step >= 0) {
      add_numbers(line, double(event.step), stage->machine);
    }
  }

  static void interval(const json& line, ProcessRecord& process) {
    const auto seconds = number_in(line, "seconds"), energy = number_in(line, "energy_joules");
    if (seconds && *seconds > 0 && std::isfinite(*seconds)) process.training_seconds += *seconds;
    if (energy && *energy >= 0 && std::isfinite(*energy))
      process.energy_joules = std::max(process.energy_joules.value_or(0), *energy);
  }

  RunRecord& run_;
  int64_t num_strange_ = 0;
  LeftOut left_out_;
};

}  // namespace

void read_events(RunRecord& run) {
  EventsReader reader(run);
  const auto count =
      for_each_json_line(run.folder / "events.jsonl", [&](const json& line) { reader.add(line); });
  remark_on_lines(run, "events.jsonl", count);
  if (reader.num_strange() > 0)
    run.remarks.push_back(fmt::format("{} lines of events.jsonl have no stage or step and are left out.",
                                      reader.num_strange()));
  remark_on_left_out(run, "events.jsonl", reader.left_out());
}

void read_telemetry(RunRecord& run) {
  TelemetryReader reader(run);
  const auto count =
      for_each_json_line(run.folder / "telemetry.jsonl", [&](const json& line) { reader.add(line); });
  remark_on_lines(run, "telemetry.jsonl", count);
  if (reader.num_strange() > 0)
    run.remarks.push_back(fmt::format("{} lines of telemetry.jsonl have no time or kind and are left out.",
                                      reader.num_strange()));
  remark_on_left_out(run, "telemetry.jsonl", reader.left_out());
}

}  // namespace pixart::report
