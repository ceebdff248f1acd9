// What a stage tells of its steps: metrics, times, and what the devices need.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "pixart/base/log.h"
#include "stage_run.h"

namespace pixart::train {

// The step that was made last, which took this time.
void StageRun::measure(double seconds) {
  run::MeasuredStep step{.seconds = seconds,
                         .samples = stage_.batch_size,
                         .tokens = stage_.batch_size * model_.facts.tokens_per_sample,
                         .clipped = pending_.back().clipped};
  if (model_.work_of) {
    const run::StepWork work = model_.work_of(pending_.back().step);
    step.tokens = work.tokens, step.flops = work.flops;
  }
  meter_.add(step);
}

double StageRun::write_metrics() {
  if (lock_ != nullptr) lock_->check();
  double sum = 0;
  for (const auto& result : pending_) {
    sum += result.loss;
    if (metrics_ == nullptr) continue;
    std::map<std::string, double> values = {
        {"loss", result.loss}, {"gradient_norm", result.gradient_norm}, {"lr", result.lr}};
    const auto names = model_.objective->recorded_names();
    for (size_t i = 0; i < names.size(); ++i)
      if (!std::isnan(result.recorded[i])) values[names[i]] = result.recorded[i];
    metrics_->write(stage_.name, result.step + 1, values);
  }
  const double mean = pending_.empty() ? 0 : sum / double(pending_.size());
  pending_.clear();
  return mean;
}

void StageRun::show_progress(int64_t step) {
  const double loss = write_metrics();
  const data::DataWait wait = model_.loader->take_wait();
  const double share = interval_seconds_ > 0 ? wait.seconds / interval_seconds_ : 0;
  warn_of_wait(share, wait);
  report_interval(wait.seconds);
  interval_seconds_ = 0;
  if (progress_) progress_->update(step, fmt::format("loss {:.4f}, {:.0f} % data wait", loss, 100 * share));
}

run::DeviceReading StageRun::read_devices() {
  const double nothing = std::nan("");
  const run::DeviceReading own = device_.read();
  const at::Tensor numbers = at::tensor(
      {double(own.memory_bytes), own.power_watts.value_or(nothing), own.energy_joules.value_or(nothing)},
      at::kDouble);
  at::Tensor all = at::empty({run_.ranks.world_size() * numbers.numel()}, at::kDouble);
  run_.ranks.all_gather(numbers, all, phase("reading devices"));
  const auto optional = [](double number) {
    return std::isnan(number) ? std::nullopt : std::optional(number);
  };
  run::DeviceReading sum;
  for (int64_t rank = 0; rank < run_.ranks.world_size(); ++rank) {
    const double* at = all.const_data_ptr<double>() + rank * numbers.numel();
    const run::DeviceReading one{
        .memory_bytes = uint64_t(at[0]), .power_watts = optional(at[1]), .energy_joules = optional(at[2])};
    sum = rank == 0 ? one : run::together(sum, one);
  }
  return sum;
}

// Times and devices are not written to events.jsonl, which is the same for every run with the same seed.
void StageRun::report_interval(double data_wait_seconds) {
  const run::DeviceReading devices = read_devices();
  if (metrics_ == nullptr) return;
  const int64_t damaged = model_.damaged ? model_.damaged->size() : 0,
                excluded = int64_t(model_.excluded->found().size());
  metrics_->report(meter_.take({.stage = stage_.name,
                                .step = trainer_.step(),
                                .data_wait_seconds = data_wait_seconds,
                                .devices = devices,
                                .quarantined = model_.quarantined + damaged + excluded}));
}

void StageRun::warn_of_wait(double share, const data::DataWait& wait) {
  constexpr double kMuch = 0.1, kLeastSeconds = 5;
  if (share < kMuch || interval_seconds_ < kLeastSeconds || warned_of_wait_) return;
  warned_of_wait_ = true;
  log::warning(
      "stage {}: {:.0f} % of the time is spent waiting for data{}. More loader.threads, a faster disk, or "
      "features extracted beforehand help.",
      stage_.name, 100 * share, slowest_source(wait));
}

std::string StageRun::slowest_source(const data::DataWait& wait) const {
  const auto slowest = std::max_element(wait.read_seconds.begin(), wait.read_seconds.end());
  if (slowest == wait.read_seconds.end()) return {};
  return fmt::format("; the slowest source is {}",
                     model_.loader->part_names()[size_t(slowest - wait.read_seconds.begin())]);
}

}  // namespace pixart::train
