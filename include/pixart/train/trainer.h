// The training step, for every objective.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>

#include "pixart/data/loader.h"
#include "pixart/distributed/communicator.h"
#include "pixart/nn/state_dict.h"
#include "pixart/optim/flat_parameters.h"
#include "pixart/optim/optimizer.h"
#include "pixart/run/trainer_config.h"
#include "pixart/train/gradient_sum.h"
#include "pixart/train/objective.h"
#include "pixart/train/step_judge.h"

namespace pixart::train {

struct StepResult {
  int64_t step = 0;          // index of this step, from 0
  double loss = 0;           // mean over the global batch
  double gradient_norm = 0;  // before clipping
  double lr = 0;
  bool clipped = false;
  bool skipped = false;               // the step is bad: weights unchanged
  bool stop_requested = false;        // on any rank
  std::string fault = {};             // why the step is bad
  std::vector<double> recorded = {};  // what Objective::recorded_names() names, as `loss`
};

// A sample of a bad step.
struct Suspect {
  int64_t row = 0;            // of all parts of the stage
  bool is_bad_alone = false;  // its own loss or gradient is not finite
};

// A bad step (StepJudge), before anything was changed.
struct BadStep {
  StepResult result;
  std::vector<data::Batch> batches = {};   // of this rank
  std::vector<double> losses = {};         // one per batch, times the batch's share
  std::vector<size_t> bad_gradients = {};  // indices among the trained parameters
};

class Trainer {
 public:
  // The trainable tensors of `model` become views of one buffer and get rank 0's values. Throws UserError if
  // a pattern of no_decay matches none of them, or if numerics: exact does not allow this number of ranks.
  // The loader's threads call objective.prepare(), so `objective` must outlive `loader`.
  Trainer(run::TrainerConfig config, nn::StateDict& model, Objective& objective, data::Loader& loader,
          distributed::Communicator& ranks);

  // For a model that computes in bfloat16 on a GPU that runs our kernels: its layers use a bfloat16 copy of the trained weights,
  // which the optimizer writes, in place of rounding them in each pass. Elsewhere nothing changes.
  void keep_rounded_weights();

  // Makes one optimizer step; all ranks call it together. `stop_requested` is this rank's. A bad step changes
  // no weight. Without bad_steps.roll_back, throws UserError(kNumerics) after more of them than allowed.
  StepResult train_step(bool stop_requested = false);

  // Sets the function that is called for each skipped step, before any error is thrown.
  void on_bad_step(std::function<void(const BadStep&)> report) { report_ = std::move(report); }

  // The samples of this rank in the last bad step, with bad_steps.roll_back. If the step was not finite, each
  // was tried alone.
  const std::vector<Suspect>& suspects() const { return suspects_; }
  // Ends reading ahead: the order of the samples may change before the next step.
  void stop_loading();

  // Makes the trained tensors of `other` (same architecture) views of the EMA weights. Its other tensors,
  // frozen ones and buffers, become the model's own.
  void bind_ema(nn::StateDict& other);
  // Brings the bound EMA up to date if it is spread over the ranks. All ranks call it together.
  void gather_ema();

  int64_t step() const { return step_; }
  const run::TrainerConfig& config() const { return config_; }
  distributed::Communicator& ranks() const { return ranks_; }
  bool is_sharded() const { return ranges_.size() > 1; }

  // Everything that a checkpoint must hold in addition to the model. With optimizer.shard, EMA and optimizer
  // are those of this rank's share of the parameters.
  struct State {
    at::Tensor values, ema;  // flat, live references
    optim::Optimizer* optimizer;
    int64_t* step;
    int64_t* skipped;
    StepJudge* judge;
  };
  State state();
  std::vector<at::Tensor> views(const at::Tensor& flat) const {
    return flat_.views(flat);
  }                                                              // of all parameters
  const optim::FlatParameters& share() const { return share_; }  // of this rank
  std::vector<optim::StateTensor> optimizer_state() const { return optimizer_.state(share_); }
  at::Tensor whole_ema();  // flat, a copy if it is spread; all ranks call it together
  // Those of config.power_ema: of this rank's share (live references), and of all parameters as whole_ema() is.
  const std::vector<at::Tensor>& power_emas() const { return power_emas_; }
  std::vector<at::Tensor> whole_power_emas();

 private:
  at::Tensor with_recorded(const at::Tensor& loss, double share) const;
  void update(StepResult& result, const at::Tensor& squared_norm);
  void skip(const StepResult& result, std::vector<data::Batch> batches, std::vector<double> losses);
  std::vector<size_t> bad_gradients();
  void count_skipped(const StepResult& result);
  std::vector<Suspect> suspects_in(const std::vector<data::Batch>& batches, bool is_tried);
  bool is_finite_alone(const data::Batch& batch, size_t sample);
  void spread_values();  // sends each rank's share to all
  at::Tensor gathered(const at::Tensor& share, at::Tensor whole);

  run::TrainerConfig config_;
  nn::StateDict& model_;
  Objective& objective_;
  data::Loader& loader_;
  distributed::Communicator& ranks_;
  int64_t loaded_step_ = -1;  // the next one of the loader
  optim::FlatParameters flat_;
  std::vector<std::pair<int64_t, int64_t>> ranges_;  // of the ranks' shares; one: not sharded
  optim::FlatParameters share_;
  optim::Optimizer optimizer_;
  at::Tensor ema_;
  at::Tensor gathered_ema_;  // of all parameters; undefined until it is needed
  std::vector<at::Tensor> power_emas_;
  std::unique_ptr<GradientSum> sum_;
  std::function<void(const BadStep&)> report_ = [](const BadStep&) {};
  StepJudge judge_;
  std::vector<Suspect> suspects_;
  int64_t step_ = 0, skipped_ = 0;
};

}  // namespace pixart::train
