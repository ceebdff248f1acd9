// What a stage trains: batch -> loss. The Trainer knows nothing else of models and data.
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/train/batch.h"

namespace pixart::train {

// The middles of eight equal parts of the schedule.
constexpr int64_t kHeldOutTimesteps = 8;

class Objective {
 public:
  virtual ~Objective() = default;
  virtual at::Tensor loss(const Batch& batch) = 0;  // scalar: mean over the micro-batch, with graph
  // [T]: losses of a held-out sample, a batch of one, at fixed timesteps with noise that depends on seed and
  // row alone. T is kHeldOutTimesteps for diffusion, else 1. Undefined where an objective has none.
  virtual at::Tensor held_out_losses(const Batch& /*sample*/) { return {}; }
};

}  // namespace pixart::train
