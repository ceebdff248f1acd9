// What a stage trains: batch -> loss. The Trainer knows nothing else of models and data.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace pixart::train {

// Which samples a micro-batch holds. `positions` are global sample ids: position p is the p-th sample that
// the stage ever sees, on any number of ranks; `rows` are the samples' indices in the data set.
struct MicroBatch {
  int64_t step = 0, micro_step = 0;
  std::vector<int64_t> positions, rows;
};

class Objective {
 public:
  virtual ~Objective() = default;
  virtual int64_t num_samples() const = 0;               // of the data set: one epoch
  virtual at::Tensor loss(const MicroBatch& batch) = 0;  // scalar: mean over the micro-batch, with graph
};

}  // namespace pixart::train
