// What a stage trains: batch -> loss. The Trainer knows nothing else of models and data.
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/train/batch.h"

namespace pixart::train {

class Objective {
 public:
  virtual ~Objective() = default;
  virtual at::Tensor loss(const Batch& batch) = 0;  // scalar: mean over the micro-batch, with graph
};

}  // namespace pixart::train
