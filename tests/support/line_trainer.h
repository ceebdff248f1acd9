// A trainer of a model that has next to nothing in it: for what must be tried very often.
#pragma once
#include <ATen/ATen.h>

#include "one_rank.h"
#include "pixart/nn/state_dict.h"
#include "pixart/train/trainer.h"
#include "plain_loader.h"

namespace pixart::testing {

// A model of three tensors of numbers and a buffer; the loss pulls them to the sample's row.
class Line : public train::Objective {
 public:
  explicit Line(nn::StateDict& state)
      : weight_(state.add("weight", {3, 2})),
        bias_(state.add("bias", {5})),
        base_(state.add("base", {2})),
        buffer_(state.add("buffer", {2}, false)) {}
  at::Tensor loss(const data::Batch& batch) override {
    at::Tensor loss = at::zeros({});
    for (int64_t row : batch.plan.rows)
      loss = loss + (weight_ - double(row)).square().mean() + (bias_ + base_.sum() + 1).square().mean();
    return loss / double(batch.plan.rows.size());
  }

 private:
  at::Tensor weight_, bias_, base_, buffer_;
};

struct Session {
  explicit Session(const run::TrainerConfig& chosen = config(), const std::vector<std::string>& frozen = {})
      : objective(state), trainer(chosen, frozen_state(frozen), objective, loader, one_rank()) {}
  nn::StateDict& frozen_state(const std::vector<std::string>& frozen) {
    for (const auto& name : frozen) state.freeze(name);
    state.get("base").fill_(0.5);
    return state;
  }
  static run::TrainerConfig config() {
    run::TrainerConfig result;
    result.steps = 100;
    result.batch_size = 4;
    result.optimizer.lr = 0.1;
    result.ema_decay = 0.5;
    result.lr_schedule.warmup_steps = 0;
    return result;
  }
  nn::StateDict state;
  Line objective;
  data::Loader loader = plain_loader(10, config().batch_size);
  train::Trainer trainer;
};

}  // namespace pixart::testing
