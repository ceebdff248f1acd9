// The sum of a step's gradients over micro-batches and ranks.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "pixart/data/order.h"
#include "pixart/distributed/communicator.h"
#include "pixart/optim/flat_parameters.h"
#include "pixart/run/trainer_config.h"

namespace pixart::train {

// Adds tensors of equal size as the leaves of a binary tree, in the order of the calls: ((a + b) + (c + d))
// ... So the sum over all leaves equals the sum over the sums of aligned halves, quarters and so on.
class TreeSum {
 public:
  void add(const at::Tensor& leaf);  // copied
  at::Tensor take();                 // the sum, undefined without leaves; then starts a new one

 private:
  struct Node {
    int64_t level;
    at::Tensor sum;
  };
  std::vector<Node> pending_;     // by falling level
  std::vector<at::Tensor> free_;  // for reuse
};

// Sums over ranks as a binary tree, in place: (rank 0 + rank 1) + (rank 2 + rank 3) ...
void tree_sum_over_ranks(distributed::Communicator& ranks, at::Tensor& tensor, const std::string& phase);

struct StepTotals {
  double loss = 0;                    // over all ranks
  std::vector<double> recorded = {};  // what the objective records besides, likewise
  double gradient_norm = 0;           // of the summed gradients
  at::Tensor squared_norm = {};  // its square on a GPU that runs our kernels, at the same place in each step
  bool flag = false;             // true if any rank set it
};

// The number of lanes of equal length into which exact mode cuts a batch; their sums are the leaves of the
// tree. It is the largest power of two that divides the batch.
int64_t exact_lanes(int64_t batch_size);

class GradientSum {
 public:
  virtual ~GradientSum() = default;
  // Called before and after the backward pass of each micro-batch, which adds to parameters.gradients(). `losses`
  // [1 + num_recorded]: the loss and what is recorded besides, times the share of the batch.
  virtual void before_backward(const data::MicroBatch& batch) = 0;
  virtual void after_backward(const data::MicroBatch& batch, const at::Tensor& losses) = 0;
  // When it returns, parameters.gradients() hold the sum. `flag` is this rank's. The host waits once for a
  // GPU, for loss and norm together.
  virtual StepTotals finish(bool flag, int64_t step) = 0;
};

struct GradientSumOptions {
  run::Numerics numerics = run::Numerics::kDefault;
  int64_t batch_size = 1;
  int64_t num_recorded = 0;  // values besides the loss
  int64_t bucket_bytes = run::kGradientBucketBytes;
  std::vector<std::pair<int64_t, int64_t>> shares =
      {};  // of the ranks in the flat buffer; one or none: all have all
};

// In default mode with several ranks, the sum over ranks begins while backward still runs: bucket by bucket,
// starting with the last parameters. On a GPU that runs our kernels and with shares, each rank then has the sum of its own
// share only, and sends half as much; what it has in place of the others is not specified.
std::unique_ptr<GradientSum> make_gradient_sum(const optim::FlatParameters& parameters,
                                               distributed::Communicator& ranks,
                                               const GradientSumOptions& options);

}  // namespace pixart::train
