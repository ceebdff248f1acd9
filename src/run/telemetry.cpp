#include "pixart/run/telemetry.h"

#include <algorithm>

#include "pixart/base/env.h"
#include "pixart/base/version.h"

namespace pixart::run {

namespace {

// The sum is known only if both are.
std::optional<double> sum(const std::optional<double>& a, const std::optional<double>& b) {
  return a && b ? std::optional<double>(*a + *b) : std::nullopt;
}

}  // namespace

TelemetryLine start_line(const ProcessFacts& facts) {
  return {.kind = "start",
          .values = {{"host", host_name()},
                     {"pid", process_id()},
                     {"processes", facts.processes},
                     {"device", facts.device},
                     {"devices", facts.devices},
                     {"threads", facts.threads},
                     {"version", version()},
                     {"torch", facts.torch}}};
}

TelemetryLine stage_line(const std::string& stage, int64_t step, const StageFacts& facts) {
  TelemetryLine line{.kind = "stage", .stage = stage, .step = step};
  line.values = {{"parameters", facts.parameters},
                 {"trained_parameters", facts.trained_parameters},
                 {"tokens_per_sample", facts.tokens_per_sample}};
  if (facts.flops_per_sample > 0) {
    const bool all = facts.trained_parameters == facts.parameters;
    line.values.emplace_back("flops_per_sample", facts.flops_per_sample);
    line.values.emplace_back(
        "flops_counted",
        all ? "forward and backward" : "forward and backward, without gradients of frozen weights");
  }
  line.values.emplace_back("batch_size", facts.batch_size);
  return line;
}

TelemetryLine save_line(const std::string& stage, int64_t step, double seconds, int64_t bytes) {
  return {.kind = "save", .stage = stage, .step = step, .values = {{"seconds", seconds}, {"bytes", bytes}}};
}

TelemetryLine validation_line(const std::string& stage, int64_t step, double seconds) {
  return {.kind = "validation", .stage = stage, .step = step, .values = {{"seconds", seconds}}};
}

TelemetryLine metrics_line(const std::string& stage, int64_t step, double seconds, int64_t images) {
  return {
      .kind = "metrics", .stage = stage, .step = step, .values = {{"seconds", seconds}, {"images", images}}};
}

TelemetryLine roll_back_line(const std::string& stage, int64_t step, const RollBack& roll_back) {
  return {.kind = "roll_back",
          .stage = stage,
          .step = step,
          .values = {{"bad_step", roll_back.bad_step},
                     {"fault", roll_back.fault},
                     {"number", roll_back.number},
                     {"samples", roll_back.samples},
                     {"seconds", roll_back.seconds}}};
}

TelemetryLine stop_line(const std::string& stage, std::optional<int64_t> step, const std::string& reason,
                        const std::string& message) {
  return {.kind = "stop", .stage = stage, .step = step, .values = {{"reason", reason}, {"message", message}}};
}

DeviceReading together(const DeviceReading& a, const DeviceReading& b) {
  return {.memory_bytes = std::max(a.memory_bytes, b.memory_bytes),
          .power_watts = sum(a.power_watts, b.power_watts),
          .energy_joules = sum(a.energy_joules, b.energy_joules)};
}

void IntervalMeter::add(const MeasuredStep& step) {
  seconds_ += step.seconds;
  samples_ += step.samples;
  tokens_ += step.tokens;
  flops_ += step.flops.value_or(double(step.samples) * facts_.flops_per_sample);
  clipped_ += step.clipped ? 1 : 0;
  ++steps_;
}

TelemetryLine IntervalMeter::take(const Moment& moment) {
  TelemetryLine line{.kind = "interval", .stage = moment.stage, .step = moment.step};
  const auto put = [&](const char* name, TelemetryValue value) { line.values.emplace_back(name, value); };
  put("seconds", seconds_);
  if (seconds_ > 0) {
    const double images = double(samples_) / seconds_, flops = flops_ / seconds_;
    put("images_per_second", images);
    if (tokens_ > 0) put("tokens_per_second", double(tokens_) / seconds_);
    if (flops > 0) put("flops_per_second", flops);
    if (flops > 0 && peak_) put("mfu", flops / *peak_);
    put("data_wait", std::clamp(moment.data_wait_seconds / seconds_, 0.0, 1.0));
  }
  if (steps_ > 0) put("clip_share", double(clipped_) / double(steps_));
  put("memory_bytes", int64_t(moment.devices.memory_bytes));
  if (moment.devices.power_watts) put("power_watts", *moment.devices.power_watts);
  if (moment.devices.energy_joules) put("energy_joules", *moment.devices.energy_joules);
  if (moment.quarantined) put("quarantined", *moment.quarantined);
  seconds_ = flops_ = 0;
  steps_ = samples_ = tokens_ = clipped_ = 0;
  return line;
}

}  // namespace pixart::run
