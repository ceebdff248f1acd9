// The sum of a step's gradients over micro-batches and ranks.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pixart/data/order.h"
#include "pixart/dist/communicator.h"
#include "pixart/optim/flat_parameters.h"
#include "pixart/train/trainer_config.h"

namespace pixart::train {

// Adds equally sized tensors as the leaves of a binary tree, in the order in which they come: ((a + b) + (c +
// d)) ... So a sum over all leaves is also the same sum over the sums of aligned halves, quarters and so on.
class TreeSum {
 public:
  void add(const at::Tensor& leaf);  // copied
  at::Tensor take();                 // the sum, undefined without leaves; starts anew

 private:
  struct Node {
    int64_t level;
    at::Tensor sum;
  };
  std::vector<Node> pending_;     // of falling level
  std::vector<at::Tensor> free_;  // to be used again
};

// The sum over ranks as a binary tree: (rank 0 + rank 1) + (rank 2 + rank 3) ... In place.
void tree_sum_over_ranks(dist::Communicator& ranks, at::Tensor& tensor, const std::string& phase);

struct StepTotals {
  double loss = 0;    // over all ranks
  bool flag = false;  // of any rank
};

// In exact mode a batch is cut into so many lanes of equal length, whose sums are the leaves of the tree: the
// largest power of two that divides the batch.
int64_t exact_lanes(int64_t batch_size);

class GradientSum {
 public:
  virtual ~GradientSum() = default;
  // Around the backward pass of each micro-batch; it adds to parameters.gradients().
  virtual void before_backward(const data::MicroBatch& batch) = 0;
  virtual void after_backward(const data::MicroBatch& batch, const at::Tensor& loss) = 0;
  // parameters.gradients() are the sum when it returns. `flag`: of this rank.
  virtual StepTotals finish(bool flag, int64_t step) = 0;
};

struct GradientSumOptions {
  Numerics numerics = Numerics::kDefault;
  int64_t batch_size = 1;
  int64_t bucket_bytes = 32 << 20;  // of gradients that are summed over the ranks at a time
};

// In default mode and with several ranks, the sum over ranks begins while backward still runs: bucket by
// bucket, the last parameters first.
std::unique_ptr<GradientSum> make_gradient_sum(const optim::FlatParameters& parameters,
                                               dist::Communicator& ranks, const GradientSumOptions& options);

}  // namespace pixart::train
