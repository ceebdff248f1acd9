// Golden kind `training`: twenty whole optimizer steps of the official models, through our Trainer.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "golden.h"
#include "golden_models.h"
#include "one_rank.h"
#include "pixart/base/error.h"
#include "pixart/models/transformer.h"
#include "pixart/train/objectives.h"
#include "pixart/train/trainer.h"
#include "plain_loader.h"

namespace pixart::train {
namespace {

using testing::GoldenCase;

// The case's tensors in place of data set and random numbers.
class RecordedObjective : public Objective {
 public:
  RecordedObjective(const GoldenCase& c, nn::StateDict& state)
      : case_(c), tables_(diffusion::make_noise_schedule("linear", 1000), at::kCPU) {
    const auto& j = c.config();
    if (j.at("architecture") == "DiT") {
      dit_ = std::make_unique<models::Dit>(nn::Scope(state), testing::dit_config(j));
    } else {
      pixart_ = std::make_unique<models::PixArt>(nn::Scope(state), testing::pixart_config(j));
    }
    nn::load_state(state, c.weights, c.name);
  }

  at::Tensor loss(const Batch& batch) override {
    const auto at_step = [&](const char* name) {
      return case_.tensor(name)[batch.plan.step][batch.plan.micro_step];
    };
    diffusion::Denoiser model;
    if (dit_) {
      const at::Tensor label =
          at_step("in.y").masked_fill(at_step("in.drop").to(at::kBool), dit_->config().num_classes);
      model = [this, label](const at::Tensor& x, const at::Tensor& t) { return dit_->forward(x, t, label); };
    } else {
      models::Condition text{.caption = at_step("in.y"),
                             .mask = at_step("in.mask"),
                             .drop = at_step("in.drop"),
                             .image_size = {},
                             .aspect_ratio = {}};
      if (pixart_->config().multi_scale)
        text.image_size = at_step("in.img_hw"), text.aspect_ratio = at_step("in.aspect_ratio");
      model = [this, text](const at::Tensor& x, const at::Tensor& t) { return pixart_->forward(x, t, text); };
    }
    const at::Tensor loss =
        diffusion_loss(tables_, model, at_step("in.x_start"), at_step("in.noise"), at_step("in.t"));
    micro_losses.push_back(loss.detach().clone());
    return loss;
  }

  std::vector<at::Tensor> micro_losses;

 private:
  const GoldenCase& case_;
  diffusion::LossTables tables_;
  std::unique_ptr<models::Dit> dit_;
  std::unique_ptr<models::PixArt> pixart_;
};

TrainerConfig trainer_config(const nlohmann::json& j) {
  const auto& o = j.at("optimizer");
  const int64_t batch = j.at("batch"), micro_steps = j.at("micro_steps");
  TrainerConfig config;
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
    nn::StateDict state;
    RecordedObjective objective(c, state);
    const auto config = trainer_config(c.config());
    Loader loader = testing::plain_loader(1 << 20, config.batch_size, c.config().at("batch"));
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

}  // namespace
}  // namespace pixart::train
