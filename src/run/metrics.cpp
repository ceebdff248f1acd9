#include "pixart/run/metrics.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "line_file.h"
#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/formats/bounded_json.h"
#include "tensorboard_folder.h"

namespace pixart::run {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr std::string_view kValidation = "validation_", kMetric = "metric_";

std::string text_of(const ordered_json& line) {
  return line.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

std::string dropped_line(int64_t count) {
  return text_of({{"time", utc_time_now()}, {"kind", "dropped"}, {"lines", count}});
}

constexpr const char* kEventBytesVariable = "PIXART_EVENT_BYTES";
constexpr int64_t kEventBytes = int64_t{16} << 20;  // of some 150,000 steps
constexpr int64_t kTelemetryBytes = int64_t{4} << 20;

int64_t most_event_bytes() {
  const auto text = environment_variable(kEventBytesVariable);
  if (!text) return kEventBytes;
  const auto bytes = std::atoll(text->c_str());
  if (bytes <= 0)
    throw UserError(fmt::format("{} is '{}', not a number of bytes above 0.", kEventBytesVariable, *text));
  return bytes;
}

ordered_json json_of(const TelemetryLine& line) {
  ordered_json json = {{"time", utc_time_now()}, {"kind", line.kind}};
  if (!line.stage.empty()) json["stage"] = line.stage;
  if (line.step) json["step"] = *line.step;
  for (const auto& [name, value] : line.values)
    std::visit([&, &key = name](const auto& known) { json[key] = known; }, value);
  return json;
}

// Whether write() may have made this line.
bool is_of_metrics(const ordered_json& event) {
  return event.is_object() && event.contains("stage") && event["stage"].is_string() &&
         event.contains("step") && event["step"].is_number_integer();
}

std::string tag_of(const std::string& name) {
  if (name.starts_with(kValidation)) return "validation/" + name.substr(kValidation.size());
  return name.starts_with(kMetric) ? "metrics/" + name.substr(kMetric.size()) : "train/" + name;
}

// For example machine/images_per_second for kind "interval" and machine/save_seconds for "save".
std::map<std::string, double> machine_numbers(const TelemetryLine& line) {
  const std::string prefix = line.kind == "interval" ? "machine/" : "machine/" + line.kind + "_";
  std::map<std::string, double> numbers;
  for (const auto& [name, value] : line.values) {
    if (const auto* real = std::get_if<double>(&value)) numbers[prefix + name] = *real;
    if (const auto* integer = std::get_if<int64_t>(&value)) numbers[prefix + name] = double(*integer);
  }
  return numbers;
}

// A Markdown list with one line per value.
std::string machine_text(const TelemetryLine& line) {
  std::string text;
  for (const auto& [name, value] : line.values) {
    text += "- " + name + ": ";
    std::visit([&](const auto& known) { text += fmt::format("{}\n", known); }, value);
  }
  return text;
}

}  // namespace

MetricSink::MetricSink(fs::path events, const fs::path& telemetry, const fs::path& tensorboard)
    : events_(std::make_unique<LineFile>(std::move(events), most_event_bytes())) {
  if (!telemetry.empty()) telemetry_ = std::make_unique<LineFile>(telemetry, kTelemetryBytes, dropped_line);
  if (!tensorboard.empty()) tensorboard_ = std::make_unique<TensorBoardFolder>(tensorboard);
}

MetricSink::~MetricSink() = default;

void MetricSink::write(const std::string& stage, int64_t step, const std::map<std::string, double>& values) {
  ordered_json line = {{"stage", stage}, {"step", step}};
  for (const auto& [name, value] : values) line[name] = value;
  events_->append(text_of(line));
  if (!tensorboard_) return;
  std::map<std::string, double> by_tag;
  for (const auto& [name, value] : values) by_tag[tag_of(name)] = value;
  tensorboard_->write(stage, [step, by_tag](auto& file) { file.scalars(step, by_tag); });
}

void MetricSink::report(const TelemetryLine& line) {
  if (telemetry_) telemetry_->append(text_of(json_of(line)));
  if (!tensorboard_ || line.stage.empty()) return;
  const int64_t step = line.step.value_or(0);
  if (line.kind == "stage" || line.kind == "stop")
    return text(line.stage, step, "machine/" + line.kind, machine_text(line));
  const auto numbers = machine_numbers(line);
  if (!numbers.empty())
    tensorboard_->write(line.stage, [step, numbers](auto& file) { file.scalars(step, numbers); });
}

void MetricSink::image(const std::string& stage, int64_t step, const std::string& tag, const fs::path& file) {
  const std::string shown = file.lexically_relative(events_->path().parent_path()).generic_string();
  report({.kind = "samples", .stage = stage, .step = step, .values = {{"file", shown}}});
  if (!tensorboard_) return;
  tensorboard_->write(stage, [=](auto& events) { events.image(step, tag, read_file(file)); });
}

void MetricSink::text(const std::string& stage, int64_t step, const std::string& tag,
                      const std::string& markdown) {
  if (tensorboard_) tensorboard_->write(stage, [=](auto& file) { file.text(step, tag, markdown); });
}

std::string MetricSink::sync() {
  if (telemetry_) (void)telemetry_->sync();  // its trouble ends nothing, and it says it itself
  if (tensorboard_) tensorboard_->sync();
  return events_->sync();
}

bool MetricSink::is_full() const { return events_->is_full(); }

namespace {

StageLines lines_in(std::istream& lines, const std::string& stage) {
  StageLines found;
  for (std::string line; std::getline(lines, line);) {
    const auto event = formats::parse_ordered_or_discard(line);
    if (!is_of_metrics(event) || event["stage"] != stage) continue;
    const auto step = event["step"].get<int64_t>();
    found.last_step = std::max(found.last_step, step);
    if (event.contains(kMetricImages)) found.last_metrics = std::max(found.last_metrics, step);
    if (event.contains("validation_loss")) found.last_validation = std::max(found.last_validation, step);
  }
  return found;
}

}  // namespace

StageLines MetricSink::lines_of(const std::string& stage) const {
  std::istringstream lines(events_->content());
  return lines_in(lines, stage);
}

StageLines lines_of(const std::filesystem::path& events, const std::string& stage) {
  require_no_pipe(events, ExitCode::kStorage);
  std::ifstream lines(events);
  return lines_in(lines, stage);
}

void MetricSink::rewind(const std::string& stage, int64_t step) {
  std::string kept;
  int64_t number = 0;
  std::istringstream lines(events_->content());
  for (std::string line; std::getline(lines, line);) {
    const auto event = formats::parse_ordered_or_discard(line);
    ++number;
    if (event.is_discarded() && !ordered_json::accept(line)) continue;  // incomplete after a kill
    if (!is_of_metrics(event)) {
      log::warning("{} line {} holds no metrics and is passed over: {:.80}", events_->path().string(), number,
                   line);
    } else if (event["stage"] == stage && event["step"].get<int64_t>() > step) {
      continue;
    }
    kept += line + "\n";
  }
  events_->replace(kept);
  if (tensorboard_) tensorboard_->write(stage, [step](auto& file) { file.restart_at(step + 1); });
}

}  // namespace pixart::run
