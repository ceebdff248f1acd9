#include "pixart/diffusion/loss.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "pixart/base/error.h"

namespace pixart::diffusion {
namespace {

// A batch of three: the least noisy step, one in the middle, the noisiest.
struct Batch {
  LossTables tables{make_noise_schedule("linear", 1000), at::kCPU};
  at::Tensor x_start = at::linspace(-0.9, 0.9, 3 * 2 * 4 * 4).view({3, 2, 4, 4});
  at::Tensor noise = at::sin(at::arange(3 * 2 * 4 * 4).to(at::kFloat)).view({3, 2, 4, 4});
  at::Tensor t = at::tensor({0, 500, 999}, at::kLong);
  at::Tensor x_t = add_noise(tables, x_start, noise, t);
};

at::Tensor with_variance(const at::Tensor& prediction, double v) {
  return at::cat({prediction, at::full_like(prediction, v)}, 1);
}

TEST(Loss, TrueNoiseHasNoErrorAndGivesTheCleanSample) {
  const Batch batch;
  const at::Tensor output = with_variance(batch.noise, 0.0);
  EXPECT_EQ(iddpm_loss(batch.tables, {}, output, batch.x_start, batch.x_t, batch.noise, batch.t)
                .mse.max()
                .item<float>(),
            0);
  const auto p = p_mean_variance(batch.tables, {}, output, batch.x_t, batch.t);
  // At the last step x_0 is a difference of numbers 157 times as large: 2e-5 of float32's 6e-8.
  EXPECT_TRUE(at::allclose(p.pred_xstart, batch.x_start, 0, 1e-4));
}

TEST(Loss, VarianceRunsBetweenThePosteriorAndBeta) {
  const Batch batch;
  const auto low =
      p_mean_variance(batch.tables, {}, with_variance(batch.noise, -1), batch.x_t, batch.t).log_variance;
  const auto high =
      p_mean_variance(batch.tables, {}, with_variance(batch.noise, 1), batch.x_t, batch.t).log_variance;
  const auto& schedule = batch.tables.schedule();
  for (int64_t b = 0; b < 3; ++b) {
    const auto i = size_t(batch.t[b].item<int64_t>());
    EXPECT_FLOAT_EQ(low[b][0][0][0].item<float>(), float(schedule.posterior_log_variance_clipped[i]));
    EXPECT_FLOAT_EQ(high[b][0][0][0].item<float>(), float(schedule.log_betas[i]));
  }
}

TEST(Loss, TheBoundTrainsTheVarianceAlone) {
  const Batch batch;
  at::Tensor output = with_variance(batch.noise + 0.1, 0.3).set_requires_grad(true);
  const auto terms = iddpm_loss(batch.tables, {}, output, batch.x_start, batch.x_t, batch.noise, batch.t);
  torch::autograd::backward({terms.vb.sum()}, {});
  EXPECT_EQ(output.grad().narrow(1, 0, 2).abs().max().item<float>(), 0);
  EXPECT_GT(output.grad().narrow(1, 2, 2).abs().min().item<float>(), 0);
}

TEST(Loss, TheLeastNoisyStepStaysFiniteFarOutside) {
  const Batch batch;
  at::Tensor output = with_variance(batch.noise * 1e4, -1).set_requires_grad(true);
  const auto loss = iddpm_loss(batch.tables, {}, output, batch.x_start, batch.x_t, batch.noise, batch.t).loss;
  torch::autograd::backward({loss.mean()}, {});
  EXPECT_TRUE(loss.isfinite().all().item<bool>());
  EXPECT_TRUE(output.grad().isfinite().all().item<bool>());
}

TEST(Loss, ASampleDoesNotSeeItsBatch) {
  const Batch batch;
  const at::Tensor output = with_variance(batch.noise + 0.1, 0.3);
  const auto together =
      iddpm_loss(batch.tables, {}, output, batch.x_start, batch.x_t, batch.noise, batch.t).loss;
  for (int64_t b = 0; b < 3; ++b) {
    const auto one = [b](const at::Tensor& x) { return x.narrow(0, b, 1); };
    const auto alone = iddpm_loss(batch.tables, {}, one(output), one(batch.x_start), one(batch.x_t),
                                  one(batch.noise), one(batch.t));
    EXPECT_EQ(alone.loss.item<float>(), together[b].item<float>());
  }
}

TEST(Loss, WrongChannelCountIsOurBug) {
  const Batch batch;
  EXPECT_THROW(iddpm_loss(batch.tables, {}, batch.noise, batch.x_start, batch.x_t, batch.noise, batch.t),
               InternalError);
}

TEST(LossTables, GathersEveryTable) {
  const LossTables tables(make_noise_schedule("linear", 1000, "ddim50"), at::kCPU);
  const at::Tensor t = at::tensor({0, 49}, at::kLong);
  const at::Tensor betas = tables.gather(&NoiseSchedule::betas, t);
  EXPECT_EQ(betas.sizes(), at::IntArrayRef({2, 1, 1, 1}));
  EXPECT_FLOAT_EQ(betas[1].item<float>(), float(tables.schedule().betas[49]));
  EXPECT_EQ(model_timestep(tables, t)[1].item<float>(), 980);
}

}  // namespace
}  // namespace pixart::diffusion
