// The objective of a stage: batch -> loss. The Trainer knows models and data only through it.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "pixart/data/batch.h"

namespace pixart::train {

// The number of held-out timesteps: the middles of eight equal parts of the schedule.
constexpr int64_t kHeldOutTimesteps = 8;

class Objective {
 public:
  virtual ~Objective() = default;
  // Adds to a batch what loss() needs besides samples, such as noise, in memory from which a GPU copies at
  // once. The loader's threads call it, several at a time, so that training does not wait for it.
  virtual void prepare(data::Batch& /*batch*/) const {}
  // `batch` was prepared.
  virtual at::Tensor loss(const data::Batch& batch) = 0;  // scalar: mean over the micro-batch, with graph
  // Names of what is recorded besides the loss, such as "alignment_loss", and the values of the last loss(): means over
  // its micro-batch, [recorded_names()], float64, without graph. NaN: it was not computed in this step.
  virtual std::vector<std::string> recorded_names() const { return {}; }
  virtual at::Tensor recorded_values() const { return {}; }
  // Whether loss() reads the EMA of the weights, which then must be whole on each rank before each step.
  virtual bool reads_ema() const { return false; }
  // [T]: losses of a held-out sample (a batch of one) at fixed timesteps, with noise that depends only on
  // seed and row. T is kHeldOutTimesteps for diffusion, else 1. Undefined if the objective has none.
  virtual at::Tensor held_out_losses(const data::Batch& /*sample*/) { return {}; }
};

}  // namespace pixart::train
