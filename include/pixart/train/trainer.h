// One training step, whatever is trained.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "pixart/dist/communicator.h"
#include "pixart/nn/state_dict.h"
#include "pixart/optim/flat_parameters.h"
#include "pixart/optim/optimizer.h"
#include "pixart/train/gradient_sum.h"
#include "pixart/train/loader.h"
#include "pixart/train/objective.h"
#include "pixart/train/trainer_config.h"

namespace pixart::train {

struct StepResult {
  int64_t step = 0;          // index of the step just made, from 0
  double loss = 0;           // mean over the global batch
  double gradient_norm = 0;  // before clipping
  double lr = 0;
  bool clipped = false;
  bool skipped = false;         // loss or gradient was not finite: weights untouched
  bool stop_requested = false;  // on any rank
};

// What is known of a step whose loss or gradient is not finite, before anything was changed.
struct BadStep {
  StepResult result;
  std::vector<Batch> batches = {};         // of this rank
  std::vector<double> losses = {};         // one per batch, times its share
  std::vector<size_t> bad_gradients = {};  // indices among the trained parameters
};

class Trainer {
 public:
  // `model`'s trainable tensors become views of one buffer, and get rank 0's values. Throws UserError if a
  // pattern of no_decay matches none of them, or if numerics do not go with the number of ranks.
  Trainer(TrainerConfig config, nn::StateDict& model, Objective& objective, Loader& loader,
          dist::Communicator& ranks);

  // One optimizer step, on all ranks together. `stop_requested`: of this rank. Throws UserError(kNumerics)
  // beyond the allowed number of skipped steps.
  StepResult train_step(bool stop_requested = false);

  // Called for each skipped step, before the error if there is one. A replay of the step may need its data.
  void on_bad_step(std::function<void(const BadStep&)> report) { report_ = std::move(report); }

  // Makes the trained tensors of `other` (same architecture) views of the averaged weights. The others,
  // frozen ones and buffers, are the model's own.
  void bind_average(nn::StateDict& other);
  // Brings the bound average up to date where it is spread over the ranks. On all ranks together.
  void gather_average();

  int64_t step() const { return step_; }
  const TrainerConfig& config() const { return config_; }
  dist::Communicator& ranks() const { return ranks_; }
  bool is_sharded() const { return ranges_.size() > 1; }

  // Everything that a checkpoint must hold beside the model itself. With optimizer.shard, average and
  // optimizer are those of this rank's share of the parameters.
  struct State {
    at::Tensor values, ema;  // flat, live references
    optim::Optimizer* optimizer;
    int64_t* step;
    int64_t* skipped;
  };
  State state();
  std::vector<at::Tensor> views(const at::Tensor& flat) const {
    return flat_.views(flat);
  }                                                              // of all parameters
  const optim::FlatParameters& share() const { return share_; }  // of this rank
  std::vector<optim::StateTensor> optimizer_state() const { return optimizer_.state(share_); }
  at::Tensor whole_average();  // flat, over all parameters; on all ranks together. A copy if it is spread

 private:
  void update(StepResult& result);
  void skip(const StepResult& result, std::vector<Batch> batches, std::vector<double> losses);
  void spread_values();  // each rank's share to all

  TrainerConfig config_;
  nn::StateDict& model_;
  Objective& objective_;
  Loader& loader_;
  dist::Communicator& ranks_;
  int64_t loaded_step_ = -1;  // that the loader delivers next
  optim::FlatParameters flat_;
  std::vector<std::pair<int64_t, int64_t>> ranges_;  // of the ranks' shares; one: not shared out
  optim::FlatParameters share_;
  optim::Optimizer optimizer_;
  at::Tensor ema_;
  at::Tensor gathered_ema_;  // of all parameters; undefined until it is needed
  std::unique_ptr<GradientSum> sum_;
  std::function<void(const BadStep&)> report_ = [](const BadStep&) {};
  int64_t step_ = 0, skipped_ = 0;
};

}  // namespace pixart::train
