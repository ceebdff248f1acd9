// One training step, whatever is trained.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "pixart/nn/state_dict.h"
#include "pixart/optim/flat_parameters.h"
#include "pixart/optim/lr_schedule.h"
#include "pixart/optim/optimizer.h"
#include "pixart/train/loader.h"
#include "pixart/train/objective.h"

namespace pixart::train {

struct TrainerConfig {
  int64_t steps = 0;       // of the whole stage; shapes the learning rate
  int64_t batch_size = 0;  // samples per optimizer step
  optim::OptimizerConfig optimizer;
  optim::LrScheduleConfig lr_schedule;
  double gradient_clip = 0;  // 0: none
  double ema_decay = 0;
  bool ema_warmup = false;   // min(ema_decay, (1 + n) / (10 + n))
  int64_t max_skipped = 10;  // steps with a loss or gradient that is not finite before giving up
};

struct StepResult {
  int64_t step = 0;          // index of the step just made, from 0
  at::Tensor loss;           // scalar on the device; read it at logging steps only
  double gradient_norm = 0;  // before clipping
  double lr = 0;
  bool skipped = false;  // loss or gradient was not finite: weights untouched
};

class Trainer {
 public:
  // `model`'s trainable tensors become views of one buffer. Throws UserError if a pattern of no_decay matches
  // none of them.
  Trainer(TrainerConfig config, nn::StateDict& model, Objective& objective, Loader& loader);

  // One optimizer step. Throws UserError(kNumerics) beyond the allowed number of skipped steps.
  StepResult train_step();

  // Makes the trained tensors of `other` (same architecture) views of the averaged weights. The others,
  // frozen ones and buffers, are the model's own.
  void bind_average(nn::StateDict& other) const;

  int64_t step() const { return step_; }
  const TrainerConfig& config() const { return config_; }

  // Everything that a checkpoint must hold beside the model itself.
  struct State {
    at::Tensor values, ema;  // flat, live references
    optim::Optimizer* optimizer;
    int64_t* step;
    int64_t* skipped;
  };
  State state();
  std::vector<at::Tensor> views(const at::Tensor& flat) const { return flat_.views(flat); }
  std::vector<optim::StateTensor> optimizer_state() const { return optimizer_.state(flat_); }

 private:
  TrainerConfig config_;
  nn::StateDict& model_;
  Objective& objective_;
  Loader& loader_;
  int64_t loaded_step_ = -1;  // that the loader delivers next
  optim::FlatParameters flat_;
  optim::Optimizer optimizer_;
  at::Tensor ema_;
  int64_t step_ = 0, skipped_ = 0;
};

}  // namespace pixart::train
