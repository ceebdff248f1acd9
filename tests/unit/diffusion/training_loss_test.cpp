#include "pixart/diffusion/training_loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pixart/base/error.h"

namespace pixart::diffusion {
namespace {

// The least noisy step, two in the middle, the noisiest.
struct Samples {
  at::Tensor x_start = at::linspace(-0.9, 0.9, 4 * 2 * 4 * 4).view({4, 2, 4, 4});
  at::Tensor noise = at::sin(at::arange(4 * 2 * 4 * 4).to(at::kFloat)).view({4, 2, 4, 4});
  at::Tensor t = at::tensor({0, 100, 500, 999}, at::kLong);
};

// Half the latent, then a variance.
at::Tensor half(const at::Tensor& x, const at::Tensor&) { return at::cat({0.5 * x, 0.1 * x}, 1); }

DiffusionConfig with(Prediction prediction, LossWeighting weighting = LossWeighting::kNone) {
  DiffusionConfig config;
  config.prediction = prediction;
  config.loss_weighting = weighting;
  return config;
}

at::Tensor losses_of(const DiffusionConfig& config, const Denoiser& model = half) {
  const Samples s;
  return TrainingLoss(config, at::kCPU).losses(model, s.x_start, s.noise, s.t);
}

at::Tensor mse_of(const at::Tensor& difference) { return difference.square().flatten(1).mean(1); }

TEST(TrainingLoss, TheDefaultIsThePublishedLossToTheBit) {
  const Samples s;
  const LossTables tables(make_noise_schedule("linear", 1000), at::kCPU);
  const at::Tensor published = published_losses(tables, half, s.x_start, s.noise, s.t);
  const at::Tensor x_t = add_noise(tables, s.x_start, s.noise, s.t);
  EXPECT_TRUE(at::equal(published, iddpm_loss(tables, {}, half(x_t, {}), s.x_start, x_t, s.noise, s.t).loss));
  EXPECT_TRUE(at::equal(losses_of({}), published));
  EXPECT_TRUE(at::equal(TrainingLoss(tables).losses(half, s.x_start, s.noise, s.t), published));
}

TEST(TrainingLoss, ATruePredictionHasNoError) {
  const Samples s;
  for (const Prediction prediction : {Prediction::kV, Prediction::kFlow}) {
    const TrainingLoss loss(with(prediction), at::kCPU);
    const Denoiser knowing = [&](const at::Tensor& x, const at::Tensor& t) {
      if (prediction == Prediction::kFlow) return (x - s.x_start) / (t.view({-1, 1, 1, 1}) / 1000);
      const auto schedule = make_noise_schedule("linear", 1000);
      at::Tensor v = at::empty_like(x);
      for (int64_t b = 0; b < 4; ++b) {
        const auto i = size_t(t[b].item<double>());
        v[b] = schedule.sqrt_alphas_cumprod[i] * s.noise[b] -
               schedule.sqrt_one_minus_alphas_cumprod[i] * s.x_start[b];
      }
      return v;
    };
    // The least noisy flow is (x_t - x_0) / 0.001: float32's 6e-8 becomes 6e-5, squared.
    EXPECT_LT(loss.losses(knowing, s.x_start, s.noise, s.t).max().item<double>(), 1e-8)
        << word_of(prediction);
  }
}

TEST(TrainingLoss, FlowGoesStraightFromDataToNoise) {
  const Samples s;
  DiffusionConfig config = with(Prediction::kFlow);
  const TrainingLoss plain(config, at::kCPU);
  EXPECT_TRUE(at::allclose(plain.noisy(s.x_start, s.noise, s.t)[3], s.noise[3]));  // pure noise
  EXPECT_FLOAT_EQ(plain.model_timestep(s.t)[2].item<float>(), 501);
  config.shift = 3;
  const TrainingLoss moved(config, at::kCPU);
  EXPECT_FLOAT_EQ(moved.model_timestep(s.t)[2].item<float>(), float(1000 * shifted(0.501, 3)));
  EXPECT_FLOAT_EQ(moved.model_timestep(s.t)[3].item<float>(), 1000);
}

TEST(TrainingLoss, PureNoiseAtTheLastStepOnlyWithZeroTerminalSnr) {
  const Samples s;
  DiffusionConfig config = with(Prediction::kV);
  EXPECT_FALSE(at::equal(TrainingLoss(config, at::kCPU).noisy(s.x_start, s.noise, s.t)[3], s.noise[3]));
  config.zero_terminal_snr = true;
  EXPECT_TRUE(at::equal(TrainingLoss(config, at::kCPU).noisy(s.x_start, s.noise, s.t)[3], s.noise[3]));
  for (const auto weighting : {LossWeighting::kNone, LossWeighting::kMinSnr, LossWeighting::kP2}) {
    config.loss_weighting = weighting;
    EXPECT_TRUE(losses_of(config).isfinite().all().item<bool>()) << word_of(weighting);
  }
}

TEST(TrainingLoss, WeightsAreOfTheErrorAndNotOfTheBound) {
  DiffusionConfig config = with(Prediction::kEpsilon, LossWeighting::kMinSnr);
  const at::Tensor both = losses_of(config);
  config.variational_bound = BoundUse::kNone;
  const at::Tensor weighted = losses_of(config);
  config.loss_weighting = LossWeighting::kNone;
  const at::Tensor plain = losses_of(config);
  const at::Tensor bound = losses_of({}) - plain;
  EXPECT_TRUE(at::allclose(both, weighted + bound, 1e-5, 1e-5));
  EXPECT_LT(weighted[0].item<double>(), 0.01 * plain[0].item<double>());  // SNR 1e4 is cut to 5
  EXPECT_FLOAT_EQ(weighted[3].item<float>(), plain[3].item<float>());     // SNR below 5
}

TEST(TrainingLoss, ValidationHasNoWeights) {
  const Samples s;
  for (const auto weighting : {LossWeighting::kMinSnr, LossWeighting::kP2, LossWeighting::kReleasedSnr}) {
    const DiffusionConfig config = with(Prediction::kEpsilon, weighting);
    const TrainingLoss loss(config, at::kCPU);
    EXPECT_TRUE(at::equal(loss.unweighted_losses(half, s.x_start, s.noise, s.t), losses_of({})))
        << word_of(weighting);
    EXPECT_FALSE(at::equal(losses_of(config), losses_of({}))) << word_of(weighting);
  }
}

TEST(TrainingLoss, ValidationDependsOnItsOwnSettingsOnly) {
  const Samples s;
  for (const auto prediction :
       {Prediction::kEpsilon, Prediction::kXStart, Prediction::kV, Prediction::kFlow}) {
    DiffusionConfig config = with(prediction, LossWeighting::kMinSnr);
    config.min_snr_gamma = 2;
    config.timesteps = TimestepDraw::kLogitNormal;
    if (prediction == Prediction::kFlow) config.shift = 3;
    if (prediction == Prediction::kV) config.zero_terminal_snr = true;
    if (prediction == Prediction::kXStart) config.variational_bound = BoundUse::kNone;
    const DiffusionConfig own = config.held_out_loss();
    EXPECT_EQ(own.timesteps, TimestepDraw::kUniform);
    EXPECT_EQ(own.loss_weighting, LossWeighting::kNone);
    EXPECT_TRUE(at::equal(TrainingLoss(config, at::kCPU).unweighted_losses(half, s.x_start, s.noise, s.t),
                          losses_of(own)))
        << word_of(prediction);
  }
}

TEST(TrainingLoss, TheReleasedLossesHaveKeys) {
  const Samples s;
  const LossTables tables(make_noise_schedule("linear", 1000), at::kCPU);
  const at::Tensor x_t = add_noise(tables, s.x_start, s.noise, s.t), output = half(x_t, {});
  LossConfig released;
  released.snr = true;
  EXPECT_TRUE(at::equal(losses_of(with(Prediction::kEpsilon, LossWeighting::kReleasedSnr)),
                        iddpm_loss(tables, released, output, s.x_start, x_t, s.noise, s.t).loss));
  released = {};
  released.use_kl = true;
  DiffusionConfig config;
  config.variational_bound = BoundUse::kOnly;
  EXPECT_TRUE(
      at::equal(losses_of(config), iddpm_loss(tables, released, output, s.x_start, x_t, s.noise, s.t).loss));
  config = with(Prediction::kXStart);
  config.variational_bound = BoundUse::kNone;
  EXPECT_TRUE(at::allclose(losses_of(config), mse_of(s.x_start - 0.5 * x_t)));
}

}  // namespace
}  // namespace pixart::diffusion
