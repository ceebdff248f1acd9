// The one place that normalises latents and restores them.
#include "pixart/features/latent_codec.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pixart/base/random.h"
#include "plain_codec.h"

namespace pixart::features {
namespace {

at::Tensor sample() {
  at::Tensor tensor = at::empty({2, 4, 6, 5});
  fill_normal({3, 1, Purpose::kTest}, {tensor.data_ptr<float>(), size_t(tensor.numel())});
  return tensor;
}

at::Tensor per_channel(const std::vector<double>& values) {
  return at::tensor(values, at::kFloat).view({1, 4, 1, 1});
}

models::VaeConfig shifted() {
  models::VaeConfig config;
  config.scaling_factor = 0.3611, config.shift_factor = 0.1159;
  return config;
}

// Rounding only: values are of the order of 1.
void expect_near(const at::Tensor& a, const at::Tensor& b) {
  EXPECT_LT((a - b).abs().max().item<double>(), 1e-5);
}

TEST(LatentCodec, ShiftsThenScales) {
  const at::Tensor x = sample();
  expect_near(testing::small_codec(shifted()).normalize(x), (x - 0.1159) * 0.3611);
}

TEST(LatentCodec, ShiftIsInAdditionToTheMeanOfEachChannel) {
  models::VaeConfig config = shifted();
  config.latents_mean = {0.5, -1, 2, 0.1}, config.latents_std = {2, 0.5, 1, 3};
  const at::Tensor x = sample();
  expect_near(testing::small_codec(config).normalize(x),
              (x - per_channel(config.latents_mean) - 0.1159) * 0.3611 / per_channel(config.latents_std));
}

TEST(LatentCodec, DecodingRestoresWhatNormalisingDid) {
  at::NoGradGuard no_grad;
  models::VaeConfig plain;
  plain.scaling_factor = 1;
  const auto codec = testing::small_codec(shifted()), unscaled = testing::small_codec(plain);
  const at::Tensor x = sample(), latent = codec.normalize(x);
  expect_near(codec.decode(latent), unscaled.decode(x));
  const models::Tiling tiling{.tile = 4};
  expect_near(codec.decode(latent, tiling), unscaled.decode(x, tiling));
  EXPECT_FALSE(at::allclose(codec.decode(latent, tiling), codec.decode(latent)));
}

}  // namespace
}  // namespace pixart::features
