#include <ATen/ATen.h>

#include <iostream>

#include "pixart/train/objectives.h"
#include "pixart/train/trainer.h"
using namespace pixart;

struct MyObjective : train::Objective {
  const models::Dit& dit;
  diffusion::LossTables tables{diffusion::make_noise_schedule("linear", 1000), at::kCPU};
  explicit MyObjective(const models::Dit& model) : dit(model) {}
  at::Tensor loss(const data::Batch& batch) override {
    const at::Tensor t = at::randint(1000, {batch.mean.size(0)}, at::kLong);
    const auto model = [&](auto& x, auto& t) { return dit.forward(x, t, {batch.label}); };
    return train::diffusion_loss(tables, model, batch.mean, at::randn_like(batch.mean), t);
  }
};

int main() {
  auto config = models::dit_preset("DiT-S/8");
  config.depth = 2;
  nn::StateDict weights;
  const models::Dit dit(weights, config);
  models::initialize(weights, config, {});
  MyObjective objective(dit);
  const auto order = std::make_shared<data::SampleOrder>(0, std::vector<data::OrderPart>{{.rows = 64}});
  data::Loader loader(order, {.batch_size = 8}, {}, [](const data::MicroBatch& plan) {
    return data::Batch{.plan = plan, .mean = at::randn({8, 4, 32, 32}), .label = at::zeros({8}, at::kLong)};
  });
  const auto ranks = distributed::make_communicator({}, at::kCPU, {});
  const run::TrainerConfig trained{
      .steps = 50, .batch_size = 8, .optimizer = {.lr = 1e-3}, .lr_schedule = {.warmup_steps = 0}};
  train::Trainer trainer(trained, weights, objective, loader, *ranks);
  while (trainer.step() < trained.steps) std::cout << trainer.train_step().loss << "\n";
}
