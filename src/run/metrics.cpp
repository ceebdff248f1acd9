#include "pixart/run/metrics.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "pixart/base/env.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "tensorboard_folder.h"

namespace pixart::run {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace {

constexpr std::string_view kValidation = "validation_";

// Ends an incomplete last line after a crash, so that the next line stays separate.
std::ofstream open_lines(const fs::path& file) {
  std::ifstream old(file, std::ios::binary | std::ios::ate);
  const bool torn = old && old.tellg() > 0 && old.seekg(-1, std::ios::end) && old.peek() != '\n';
  std::ofstream stream(file, std::ios::app);
  if (torn) stream << "\n" << std::flush;
  return stream;
}

void append_line(std::ofstream& stream, const ordered_json& line, const fs::path& file) {
  stream << line.dump(-1, ' ', false, ordered_json::error_handler_t::replace) << "\n" << std::flush;
  if (!stream) {
    throw UserError(
        "cannot "
        "write " +
            file.string() +
            ". Is the disk full? Free space and start the same command again: it continues from the last "
            "checkpoint.",
        ExitCode::kStorage);
  }
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
  return name.starts_with(kValidation) ? "validation/" + name.substr(kValidation.size()) : "train/" + name;
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
    : events_(std::move(events)), stream_(open_lines(events_)), telemetry_(telemetry) {
  if (!telemetry_.empty()) telemetry_stream_ = open_lines(telemetry_);
  if (!tensorboard.empty()) tensorboard_ = std::make_unique<TensorBoardFolder>(tensorboard);
}

MetricSink::~MetricSink() = default;

void MetricSink::write(const std::string& stage, int64_t step, const std::map<std::string, double>& values) {
  ordered_json line = {{"stage", stage}, {"step", step}};
  for (const auto& [name, value] : values) line[name] = value;
  append_line(stream_, line, events_);
  if (!tensorboard_) return;
  std::map<std::string, double> by_tag;
  for (const auto& [name, value] : values) by_tag[tag_of(name)] = value;
  tensorboard_->write(stage, [&](auto& file) { file.scalars(step, by_tag); });
}

void MetricSink::report(const TelemetryLine& line) {
  if (!telemetry_.empty()) append_line(telemetry_stream_, json_of(line), telemetry_);
  if (!tensorboard_ || line.stage.empty()) return;
  const int64_t step = line.step.value_or(0);
  if (line.kind == "stage" || line.kind == "stop")
    return text(line.stage, step, "machine/" + line.kind, machine_text(line));
  const auto numbers = machine_numbers(line);
  if (!numbers.empty()) tensorboard_->write(line.stage, [&](auto& file) { file.scalars(step, numbers); });
}

void MetricSink::image(const std::string& stage, int64_t step, const std::string& tag, const fs::path& file) {
  const std::string shown = file.lexically_relative(events_.parent_path()).generic_string();
  report({.kind = "samples", .stage = stage, .step = step, .values = {{"file", shown}}});
  if (!tensorboard_) return;
  tensorboard_->write(stage, [&](auto& events) { events.image(step, tag, read_file(file)); });
}

void MetricSink::text(const std::string& stage, int64_t step, const std::string& tag,
                      const std::string& markdown) {
  if (tensorboard_) tensorboard_->write(stage, [&](auto& file) { file.text(step, tag, markdown); });
}

void MetricSink::sync() {
  sync_path(events_);
  if (!telemetry_.empty()) sync_path(telemetry_);
  if (tensorboard_) tensorboard_->sync();
}

StageLines MetricSink::lines_of(const std::string& stage) const {
  StageLines found;
  std::ifstream lines(events_);
  for (std::string line; std::getline(lines, line);) {
    const auto event = ordered_json::parse(line, nullptr, false);
    if (!is_of_metrics(event) || event["stage"] != stage) continue;
    const auto step = event["step"].get<int64_t>();
    found.last_step = std::max(found.last_step, step);
    if (event.contains("validation_loss")) found.last_validation = std::max(found.last_validation, step);
  }
  return found;
}

void MetricSink::rewind(const std::string& stage, int64_t step) {
  stream_.close();
  std::string kept;
  int64_t number = 0;
  std::ifstream lines(events_);
  for (std::string line; std::getline(lines, line);) {
    const auto event = ordered_json::parse(line, nullptr, false);
    ++number;
    if (event.is_discarded()) continue;  // incomplete after a kill
    if (!is_of_metrics(event)) {
      log::warning("{} line {} holds no metrics and is passed over: {:.80}", events_.string(), number, line);
    } else if (event["stage"] == stage && event["step"].get<int64_t>() > step) {
      continue;
    }
    kept += line + "\n";
  }
  lines.close();
  write_file_atomically(events_, kept);
  stream_.open(events_, std::ios::app);
  if (tensorboard_) tensorboard_->write(stage, [&](auto& file) { file.restart_at(step + 1); });
}

}  // namespace pixart::run
