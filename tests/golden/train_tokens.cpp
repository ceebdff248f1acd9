// Golden kinds `token_route` and `alignment`: losses and gradients while image tokens skip blocks or are left out, and
// with a teacher, through the objective that training has.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <nlohmann/json.hpp>

#include "golden.h"
#include "golden_models.h"
#include "golden_objectives.h"
#include "pixart/models/transformer.h"
#include "pixart/train/objectives.h"
#include "plain_codec.h"

namespace pixart::train {
namespace {

using testing::GoldenCase;

constexpr double kLatentScaling =
    0.25;  // a power of two: normalised latents are the recorded ones, to the bit

models::TransformerConfig model_of(const nlohmann::json& j) {
  if (j.at("architecture") == "DiT") return testing::dit_config(j);
  return testing::pixart_config(j);
}

// The model of a case with its weights, which want gradients, and the objective.
class CaseObjective {
 public:
  explicit CaseObjective(const GoldenCase& c)
      : case_(c),
        codec_(testing::plain_codec(kLatentScaling)),
        model_(nn::Scope(state), model_of(c.config())) {
    const auto& j = c.config();
    setting_ = std::make_unique<DiffusionSetting>(DiffusionSetting{
        .codec = &codec_,
        .loss = diffusion::TrainingLoss(testing::training_config(j.at("objective")), at::kCPU),
        .seed = 0,
        .draw = {},
        .device = at::kCPU});
    if (j.contains("route"))
      setting_->skipped = {.rate = 0.5,
                           .from = j.at("route").at("from"),
                           .to = j.at("route").at("to"),
                           .loss_of_kept = j.at("route").at("loss_of_kept")};
    if (c.has("in.teacher")) {
      setting_->alignment.config.teacher = "recorded";
      setting_->alignment.config.block = j.at("block");
      setting_->alignment.config.weight = j.at("weight");
      const models::AlignmentSizes sizes{.width = j.at("hidden_size"),
                                         .hidden = j.at("hidden_size_of_projection"),
                                         .channels = j.at("teacher_channels")};
      setting_->alignment.projection =
          std::make_shared<const models::AlignmentProjection>(nn::Scope(state), sizes);
    }
    nn::load_state(state, c.weights, c.name);
    for (auto& tensor : state.trainable()) tensor.set_requires_grad(true);
  }

  struct Losses {
    at::Tensor loss, recorded;
  };
  // Of samples [first, first + count).
  Losses losses(int64_t first, int64_t count) const {
    const auto part = [&](const char* name) { return case_.tensor(name).narrow(0, first, count); };
    DiffusionSetting setting = *setting_;
    setting.draw = [&](const data::Batch&) {
      return DiffusionDraw{.noise = part("in.noise"),
                           .posterior = at::zeros_like(part("in.noise")),
                           .t = part("in.t"),
                           .drop = at::zeros({count}, at::kLong),
                           .kept = case_.has("in.kept") ? part("in.kept") : at::Tensor()};
    };
    data::Batch batch{.plan = {}, .mean = part("in.x_start") / kLatentScaling};
    batch.log_var = at::zeros_like(batch.mean);
    (case_.has("in.mask") ? batch.caption : batch.label) = part("in.y");
    if (case_.has("in.mask")) batch.mask = part("in.mask");
    if (case_.has("in.teacher")) batch.teacher = part("in.teacher");
    DiffusionObjective objective(model_, std::move(setting));
    objective.prepare(batch);
    const at::Tensor loss = objective.loss(batch);
    return {loss, objective.recorded_values()};
  }
  int64_t num_samples() const { return case_.tensor("in.t").numel(); }
  void expect_gradients() const {
    for (const auto& item : state.items())
      if (item.trainable) testing::expect_golden(case_, "grad." + item.name, item.tensor.grad());
  }

  nn::StateDict state;

 private:
  const GoldenCase& case_;
  features::LatentCodec codec_;
  models::Transformer model_;
  std::unique_ptr<DiffusionSetting> setting_;
};

TEST(GoldenTokenRoute, LossesAndGradients) {
  for (const auto& c : testing::golden_cases("token_route")) {
    SCOPED_TRACE(c.name);
    const CaseObjective objective(c);
    std::vector<at::Tensor> alone;
    for (int64_t i = 0; i < objective.num_samples(); ++i)
      alone.push_back(objective.losses(i, 1).loss.detach());
    testing::expect_golden(c, "out.losses", at::stack(alone));
    torch::autograd::backward({objective.losses(0, objective.num_samples()).loss}, {});
    objective.expect_gradients();
  }
}

TEST(GoldenAlignment, LossAndGradients) {
  for (const auto& c : testing::golden_cases("alignment")) {
    SCOPED_TRACE(c.name);
    const CaseObjective objective(c);
    const auto [loss, recorded] = objective.losses(0, objective.num_samples());
    testing::expect_golden(c, "out.loss", loss.detach());
    testing::expect_golden(c, "out.alignment", recorded[0].to(at::kFloat));
    torch::autograd::backward({loss}, {});
    objective.expect_gradients();
  }
}

}  // namespace
}  // namespace pixart::train
