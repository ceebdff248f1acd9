#include "pixart/train/flops.h"

#include <gtest/gtest.h>

namespace pixart::train {
namespace {

models::PixArtConfig pixart(int64_t latent_side) {
  auto config = models::pixart_preset("PixArt-XL/2");
  config.input_size = latent_side;
  return config;
}

// Forward multiply-adds of the published architecture: 149.05, 617.99 and 3254.76 G.
TEST(Flops, OfPixArtXl) {
  EXPECT_NEAR(transformer_flops(shape_of(pixart(32))).forward, 298.11e9, 0.01e9);
  EXPECT_NEAR(transformer_flops(shape_of(pixart(64))).forward, 1235.99e9, 0.01e9);
  EXPECT_NEAR(transformer_flops(shape_of(pixart(128))).forward, 6509.52e9, 0.01e9);
}

// The DiT paper's "Gflops" (118.64, 524.60) are multiply-adds.
TEST(Flops, OfDitXl) {
  auto config = models::dit_preset("DiT-XL/2");
  EXPECT_NEAR(transformer_flops(shape_of(config)).forward / 2, 118.64e9, 0.05e9);
  config.input_size = 64;
  EXPECT_NEAR(transformer_flops(shape_of(config)).forward / 2, 524.60e9, 0.1e9);
}

TEST(Flops, TrainingLeavesOutWhatNobodyNeeds) {
  const auto shape = shape_of(pixart(32));
  const auto flops = transformer_flops(shape);
  // Gradients of patches and of caption features.
  const double unneeded = 2.0 * 256 * 16 * 1152 + 2.0 * 120 * 4096 * 1152;
  EXPECT_DOUBLE_EQ(flops.training, 3 * flops.forward - unneeded);
  EXPECT_DOUBLE_EQ(flops.executed, flops.training);
  const auto frozen = transformer_flops(shape, 0, {.share = 0.25});
  EXPECT_DOUBLE_EQ(frozen.training, 2.25 * flops.forward - unneeded);
}

TEST(Flops, AdaptersNeedNoGradientsOfTheWeights) {
  const auto shape = shape_of(pixart(32));
  const double plain = transformer_flops(shape).forward, adapters = 2.0 * 256 * 11.9e6;
  const auto lora = transformer_flops(shape, 0, {.share = 0, .adapters = 11'900'000});
  EXPECT_DOUBLE_EQ(lora.forward, plain + adapters);
  EXPECT_NEAR(lora.training, 2 * plain + 3 * adapters, 0.01 * plain);
}

TEST(Flops, RecomputingAddsTheBlocksForward) {
  const auto shape = shape_of(pixart(32));
  const auto plain = transformer_flops(shape), all = transformer_flops(shape, 1),
             third = transformer_flops(shape, 3);
  EXPECT_EQ(all.training, plain.training);
  const double block = (all.executed - plain.executed) / 28;
  EXPECT_NEAR(block * 28, plain.forward, 0.01 * plain.forward);
  EXPECT_NEAR(third.executed - plain.executed, 9 * block, 1);  // blocks 3, 6 ... 27
}

// SD's autoencoder: 272.7 and 1116.7 GFLOP to encode a picture.
TEST(Flops, OfTheAutoencoder) {
  const auto config = models::vae_preset("sd-vae");
  EXPECT_NEAR(autoencoder_cost(config, 256).encode, 272.7e9, 0.03 * 272.7e9);
  EXPECT_NEAR(autoencoder_cost(config, 512).encode, 1116.7e9, 0.03 * 1116.7e9);
  EXPECT_GT(autoencoder_cost(config, 256).decode, autoencoder_cost(config, 256).encode);
}

}  // namespace
}  // namespace pixart::train
