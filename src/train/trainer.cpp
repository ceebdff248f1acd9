#include "pixart/train/trainer.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/base/patterns.h"

namespace pixart::train {

namespace {

optim::FlatParameters flat_parameters(nn::StateDict& model, const optim::OptimizerConfig& optimizer) {
  auto tensors = model.trainable();
  for (auto& tensor : tensors) tensor.set_requires_grad(true);
  Problems problems;
  auto without_decay = matching_names(optimizer.no_decay, nn::trainable_names(model), "optimizer.no_decay",
                                      "trained parameter", problems);
  problems.throw_if_any("the optimizer");
  return optim::FlatParameters(std::move(tensors), std::move(without_decay));
}

double average_decay(const TrainerConfig& config, int64_t step) {
  if (!config.ema_warmup) return config.ema_decay;
  return std::min(config.ema_decay, double(1 + step) / double(10 + step));
}

}  // namespace

Trainer::Trainer(TrainerConfig config, nn::StateDict& model, Objective& objective, Loader& loader)
    : config_(std::move(config)),
      model_(model),
      objective_(objective),
      loader_(loader),
      flat_(flat_parameters(model, config_.optimizer)),
      optimizer_(config_.optimizer, flat_),
      ema_(flat_.values().clone()) {
  PIXART_CHECK(loader_.num_samples_per_step() == config_.batch_size, "a loader of {} samples, batch {}",
               loader_.num_samples_per_step(), config_.batch_size);
}

StepResult Trainer::train_step() {
  if (loaded_step_ != step_) loader_.start(step_);  // the first step, or another one was loaded
  StepResult result{.step = step_, .loss = at::zeros({}, flat_.values().options())};
  flat_.zero_gradients();
  while (const auto batch = loader_.next()) {
    at::Tensor loss = objective_.loss(*batch) * batch->plan.share;
    torch::autograd::backward({loss}, {});
    result.loss += loss.detach();
  }
  result.gradient_norm = optim::gradient_norm(flat_.gradients());
  result.lr = optim::learning_rate(config_.lr_schedule, config_.optimizer.lr, config_.batch_size,
                                   config_.steps, step_);

  // A gradient that is not finite never reaches the weights. (A loss that is not finite gives such a
  // gradient.)
  result.skipped = !std::isfinite(result.gradient_norm);
  if (result.skipped) {
    ++skipped_;
    log::warning(
        "step {}: the gradient is not finite; weights left as they were ({} of {} such steps allowed)", step_,
        skipped_, config_.max_skipped);
    if (skipped_ > config_.max_skipped) {
      throw UserError(
          fmt::format(
              "{} steps with a gradient that is not finite, the last at step {}. Lower optimizer.lr, "
              "lengthen "
              "lr_schedule.warmup_steps, or look for bad values in the data; the last checkpoint is good.",
              skipped_, step_),
          ExitCode::kNumerics);
    }
  } else {
    const double scale =
        config_.gradient_clip > 0 ? optim::clip_factor(result.gradient_norm, config_.gradient_clip) : 1.0;
    optimizer_.step(flat_, result.lr, scale, ema_, average_decay(config_, step_));
  }
  loaded_step_ = ++step_;
  return result;
}

void Trainer::bind_average(nn::StateDict& other) const {
  const auto views = flat_.views(ema_);
  size_t next = 0;
  for (const auto& parameter : model_.items()) {
    at::Tensor tensor = other.get(parameter.name);
    tensor.set_data(parameter.trainable ? views.at(next++) : parameter.tensor);
  }
  PIXART_CHECK(next == views.size(), "{} averaged tensors, {} bound", views.size(), next);
}

Trainer::State Trainer::state() { return {flat_.values(), ema_, &optimizer_, &step_, &skipped_}; }

}  // namespace pixart::train
