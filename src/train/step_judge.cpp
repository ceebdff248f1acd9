#include "pixart/train/step_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace pixart::train {

namespace {

double median(const std::deque<StepValues>& steps, double StepValues::*value) {
  std::vector<double> values;
  for (const auto& step : steps) values.push_back(step.*value);
  const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

}  // namespace

std::string StepJudge::fault_of(const StepValues& step) const {
  if (!std::isfinite(step.loss)) return "the loss is not finite";
  if (!std::isfinite(step.gradient_norm)) return "the gradient is not finite";
  if (config_.spike_factor <= 0 || recent_.size() < size_t(config_.spike_window)) return "";
  for (const auto& [name, value] :
       {std::pair{"loss", &StepValues::loss}, std::pair{"gradient norm", &StepValues::gradient_norm}}) {
    const double usual = median(recent_, value);
    if (usual > 0 && step.*value > config_.spike_factor * usual)
      return fmt::format("the {} {:.4g} is {:.1f} times the median of the last {} good steps", name,
                         step.*value, step.*value / usual, recent_.size());
  }
  return "";
}

void StepJudge::add(const StepValues& good) {
  if (config_.spike_factor <= 0) return;
  recent_.push_back(good);
  while (recent_.size() > size_t(config_.spike_window)) recent_.pop_front();
}

void StepJudge::set_recent(const std::deque<StepValues>& steps) {
  recent_.clear();
  for (const auto& step : steps) add(step);
}

}  // namespace pixart::train
