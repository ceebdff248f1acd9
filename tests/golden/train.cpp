// Golden kinds `training`: twenty whole optimizer steps of the official models and of diffusers', through our
// Trainer; and `dreambooth`: the loss of instance images and class images, through the objective that training has.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <nlohmann/json.hpp>

#include "golden.h"
#include "golden_device.h"
#include "golden_models.h"
#include "golden_objectives.h"
#include "one_rank.h"
#include "pixart/base/error.h"
#include "pixart/models/transformer.h"
#include "pixart/train/objectives.h"
#include "pixart/train/trainer.h"
#include "plain_codec.h"
#include "plain_data.h"
#include "plain_loader.h"

namespace pixart::train {
namespace {

using testing::GoldenCase;

// A power of two: latents that are divided by it are normalised to the recorded ones, to the bit.
constexpr double kScaling = 0.25;

at::Tensor recorded(const GoldenCase& c, const data::MicroBatch& plan, const char* name) {
  return c.tensor(name)[plan.step][plan.micro_step];
}

// The case's tensors in place of the data set.
data::Batch recorded_batch(const GoldenCase& c, const data::MicroBatch& plan) {
  data::Batch batch{.plan = plan, .mean = recorded(c, plan, "in.x_start") / kScaling};
  batch.log_var = at::zeros_like(batch.mean);
  (c.has("in.mask") ? batch.caption : batch.label) = recorded(c, plan, "in.y");
  if (c.has("in.mask")) batch.mask = recorded(c, plan, "in.mask");
  if (c.has("in.img_hw")) {
    batch.image_size = recorded(c, plan, "in.img_hw");
    batch.aspect_ratio = recorded(c, plan, "in.aspect_ratio");
  }
  return batch;
}

// The published loss, where the case does not name another one.
diffusion::TrainingLoss loss_of(const nlohmann::json& config) {
  return {config.contains("objective") ? testing::training_config(config.at("objective"))
                                       : diffusion::DiffusionConfig{},
          testing::golden_device()};
}

// The objective that training has, with the case's tensors in place of random numbers too.
class RecordedObjective : public Objective {
 public:
  RecordedObjective(const GoldenCase& c, nn::StateDict& state)
      : codec_(testing::plain_codec(kScaling, {}, {}, testing::golden_device())) {
    const DiffusionSetting setting{.codec = &codec_,
                                   .loss = loss_of(c.config()),
                                   .seed = 0,
                                   .draw =
                                       [&c](const data::Batch& batch) {
                                         const at::Tensor noise = recorded(c, batch.plan, "in.noise");
                                         return DiffusionDraw{.noise = noise,
                                                              .posterior = at::zeros_like(noise),
                                                              .t = recorded(c, batch.plan, "in.t"),
                                                              .drop = recorded(c, batch.plan, "in.drop")};
                                       },
                                   .device = testing::golden_device()};
    const auto& j = c.config();
    const models::TransformerConfig config = j.at("architecture") == "DiT"
                                                 ? models::TransformerConfig(testing::dit_config(j))
                                                 : models::TransformerConfig(testing::pixart_config(j));
    model_ = std::make_unique<models::Transformer>(nn::Scope(state), config);
    shipped_ = std::make_unique<DiffusionObjective>(*model_, setting);
    nn::load_state(state, c.weights, c.name);
  }

  void prepare(data::Batch& batch) const override { shipped_->prepare(batch); }
  at::Tensor loss(const data::Batch& batch) override {
    const at::Tensor loss = shipped_->loss(batch);
    micro_losses.push_back(loss.detach().clone());
    return loss;
  }

  std::vector<at::Tensor> micro_losses;

 private:
  features::LatentCodec codec_;
  std::unique_ptr<models::Transformer> model_;
  std::unique_ptr<Objective> shipped_;
};

run::TrainerConfig trainer_config(const nlohmann::json& j) {
  const auto& o = j.at("optimizer");
  const int64_t batch = j.at("batch"), micro_steps = j.at("micro_steps");
  run::TrainerConfig config;
  config.steps = j.at("steps");
  config.batch_size = batch * micro_steps;
  config.optimizer = {.lr = o.at("lr"),
                      .betas = o.at("betas").get<std::vector<double>>(),
                      .eps = o.at("eps"),
                      .weight_decay = o.at("weight_decay")};
  config.lr_schedule.schedule = optim::LrShape::kConstant;
  config.lr_schedule.warmup_steps = o.at("warmup_steps");
  config.gradient_clip = o.at("max_grad_norm").is_null() ? 0.0 : o.at("max_grad_norm").get<double>();
  config.ema_decay = o.at("ema_decay");
  return config;
}

TEST(GoldenTraining, TwentyWholeSteps) {
  for (const auto& c : testing::golden_cases("training")) {
    SCOPED_TRACE(c.name);
    nn::StateDict state({.device = testing::golden_device()});
    RecordedObjective objective(c, state);
    const auto config = trainer_config(c.config());
    data::Loader loader = testing::plain_loader(
        1 << 20, {.batch_size = config.batch_size, .micro_batch_size = c.config().at("batch")},
        [&c](const data::MicroBatch& plan) { return recorded_batch(c, plan); });
    Trainer trainer(config, state, objective, loader, testing::one_rank());
    std::vector<at::Tensor> losses, norms;
    for (int64_t step = 0; step < config.steps; ++step) {
      const auto result = trainer.train_step();
      ASSERT_FALSE(result.skipped);
      losses.push_back(at::scalar_tensor(result.loss, at::kFloat));
      norms.push_back(at::scalar_tensor(result.gradient_norm, at::kFloat));
    }
    testing::expect_golden(c, "out.loss", at::stack(losses));
    testing::expect_golden(c, "out.grad_norm", at::stack(norms));
    testing::expect_golden(c, "out.micro_loss",
                           at::stack(objective.micro_losses).view(c.tensor("out.micro_loss").sizes()));
    const auto ema = trainer.views(trainer.state().ema);
    size_t next = 0;
    for (const auto& parameter : state.items()) {
      if (!parameter.trainable) continue;
      testing::expect_golden(c, "out.param." + parameter.name, parameter.tensor);
      testing::expect_golden(c, "out.ema." + parameter.name, ema[next++]);
    }
  }
}

// A tensor of the instance images, then of the class images.
at::Tensor both(const GoldenCase& c, const std::string& name) {
  return at::cat({c.tensor("in.instance." + name), c.tensor("in.prior." + name)});
}

// The images of both groups in turn, as rows of a mix of two sources.
data::Batch mixed_batch(const GoldenCase& c, const at::Tensor& order) {
  data::Batch batch;
  batch.mean = both(c, "x_start").index_select(0, order) / kScaling;
  batch.log_var = at::zeros_like(batch.mean);
  batch.caption = both(c, "y").index_select(0, order);
  batch.mask = both(c, "mask").index_select(0, order);
  for (int64_t i = 0; i < order.numel(); ++i) batch.plan.rows.push_back(order[i].item<int64_t>());
  batch.plan.positions = batch.plan.rows;
  return batch;
}

WeighSamples weights_of(const GoldenCase& c, const testing::PlainDataset& instance,
                        const testing::PlainDataset& prior) {
  run::StageConfig stage;
  stage.mix = {{.source = "dog"}, {.source = "dogs", .prior_weight = c.config().at("prior_weight")}};
  const features::StageParts parts = {{.dataset = &instance, .first_row = 0},
                                      {.dataset = &prior, .first_row = instance.size()}};
  return weights_by_part(parts, features::loss_weights(parts, stage));
}

TEST(GoldenDreambooth, LossAndGradient) {
  for (const auto& c : testing::golden_cases("dreambooth")) {
    SCOPED_TRACE(c.name);
    nn::StateDict state({.device = testing::golden_device()});
    const models::Transformer model(nn::Scope(state), testing::pixart_config(c.config()));
    nn::load_state(state, c.weights, c.name);
    for (auto& tensor : state.trainable()) tensor.set_requires_grad(true);
    const testing::PlainDataset instance(c.tensor("in.instance.t").size(0)),
        prior(c.tensor("in.prior.t").size(0));
    const at::Tensor order = at::arange(instance.size() + prior.size() - 1, -1, -1, at::kLong);
    const auto codec = testing::plain_codec(kScaling, {}, {}, testing::golden_device());
    DiffusionObjective objective(model,
                                 {.codec = &codec,
                                  .loss = loss_of(c.config()),
                                  .seed = 0,
                                  .draw =
                                      [&](const data::Batch&) {
                                        const at::Tensor noise = both(c, "noise").index_select(0, order);
                                        return DiffusionDraw{.noise = noise,
                                                             .posterior = at::zeros_like(noise),
                                                             .t = both(c, "t").index_select(0, order),
                                                             .drop = at::zeros({order.numel()}, at::kLong)};
                                      },
                                  .device = testing::golden_device(),
                                  .weigh = weights_of(c, instance, prior)});
    data::Batch batch = mixed_batch(c, order);
    objective.prepare(batch);
    const at::Tensor loss = objective.loss(batch);
    testing::expect_golden(c, "out.loss", loss.detach().view({1}));
    torch::autograd::backward({loss}, {});
    for (const auto& parameter : state.items())
      if (parameter.trainable) testing::expect_golden(c, "grad." + parameter.name, parameter.tensor.grad());
  }
}

}  // namespace
}  // namespace pixart::train
