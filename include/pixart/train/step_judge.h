// Decides whether a step is bad: before it changes the weights, from its loss and the norm of its gradient.
#pragma once
#include <deque>
#include <string>

#include "pixart/run/trainer_config.h"

namespace pixart::train {

struct StepValues {
  double loss = 0, gradient_norm = 0;
};

// Its state is the last good steps. All ranks have the same values, and come to the same verdict.
class StepJudge {
 public:
  explicit StepJudge(const run::BadStepConfig& config) : config_(config) {}

  // "" for a good step, or what is wrong: "the loss is not finite", "the gradient norm 81 is 12.3 times the median
  // of the last 100 good steps".
  std::string fault_of(const StepValues& step) const;
  void add(const StepValues& good);  // as the newest step

  const std::deque<StepValues>& recent() const {
    return recent_;
  }  // oldest first; empty without spike_factor
  void set_recent(const std::deque<StepValues>& steps);

 private:
  run::BadStepConfig config_;
  std::deque<StepValues> recent_;
};

}  // namespace pixart::train
