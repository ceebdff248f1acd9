#include "pixart/plan/flops.h"

#include <gtest/gtest.h>

namespace pixart::plan {
namespace {

models::PixArtConfig pixart(int64_t latent_side) {
  auto config = models::pixart_preset("PixArt-XL/2");
  config.input_size = latent_side;
  return config;
}

models::TransformerWork work_of(const models::TransformerConfig& config) { return config.work(); }

// Forward multiply-adds of the published architecture: 149.05, 617.99 and 3254.76 G.
TEST(Flops, OfPixArtXl) {
  EXPECT_NEAR(transformer_flops(work_of(pixart(32))).forward, 298.11e9, 0.01e9);
  EXPECT_NEAR(transformer_flops(work_of(pixart(64))).forward, 1235.99e9, 0.01e9);
  EXPECT_NEAR(transformer_flops(work_of(pixart(128))).forward, 6509.52e9, 0.01e9);
}

// The DiT paper's "Gflops" are multiply-adds: Peebles & Xie 2023, table 4, and the appendix on 512 px. Theirs
// leave out what their tool does not see; half a percent covers it.
TEST(Flops, OfDitsAgreeWithThePaper) {
  const auto giga = [](const char* name, int64_t side) {
    auto config = models::dit_preset(name);
    config.input_size = side;
    return transformer_flops(work_of(config)).forward / 2e9;
  };
  EXPECT_NEAR(giga("DiT-S/2", 32), 6.06, 0.005 * 6.06);
  EXPECT_NEAR(giga("DiT-B/4", 32), 5.56, 0.005 * 5.56);
  EXPECT_NEAR(giga("DiT-L/2", 32), 80.71, 0.005 * 80.71);
  EXPECT_NEAR(giga("DiT-XL/2", 32), 118.64, 0.05);
  EXPECT_NEAR(giga("DiT-XL/2", 64), 524.60, 0.1);
}

// A control of all blocks but the last costs as many blocks more, linear layers, and the patches once more.
TEST(Flops, OfAControlNet) {
  auto config = pixart(32);
  const double plain = transformer_flops(work_of(config)).forward;
  config.control_blocks = 13;
  const double n = 256, d = 1152, t = 120;
  const double block =
      8 * n * d * d + 4 * n * n * d + 16 * n * d * d + 4 * n * d * d + 4 * t * d * d + 4 * n * t * d;
  EXPECT_NEAR(transformer_flops(work_of(config)).forward - plain,
              13 * block + 14 * 2 * n * d * d + 2 * n * d * 16, 1);
}

TEST(Flops, OfATinyDitByHand) {
  const models::DitConfig config{{.input_size = 8,
                                  .patch_size = 2,
                                  .in_channels = 4,
                                  .hidden_size = 12,
                                  .depth = 3,
                                  .num_heads = 2,
                                  .mlp_ratio = 2.0,
                                  .learn_sigma = true},
                                 {.num_classes = 10}};
  ASSERT_EQ(work_of(config).tokens, 16);
  // Multiply-adds: [16, 12] x [12, 36], [16, 12] x [12, 12], two products of 16 x 16 x 12, [16, 12] x
  // [12, 24] and back, [12] x [12, 72].
  const double block = 6912 + 2304 + 2 * 3072 + 2 * 4608 + 864;
  // [16, 16] x [16, 12], [256] x [256, 12], [12] x [12, 12], [12] x [12, 24], [16, 12] x [12, 32].
  const double rest = 3072 + 3072 + 144 + 288 + 6144;
  EXPECT_EQ(transformer_flops(work_of(config)).forward, 2 * (3 * block + rest));
}

TEST(Flops, OfATinyPixArtByHand) {
  models::PixArtConfig config{{.input_size = 8,
                               .patch_size = 2,
                               .in_channels = 4,
                               .hidden_size = 12,
                               .depth = 3,
                               .num_heads = 2,
                               .mlp_ratio = 2.0,
                               .learn_sigma = false},
                              {.caption_channels = 20, .max_tokens = 5}};
  // As above without adaLN; then queries and projection, keys and values of 5 tokens, 16 x 5 x 12 twice.
  const double block = 6912 + 2304 + 2 * 3072 + 2 * 4608 + 2 * 2304 + 5 * 12 * 24 + 2 * 960;
  // Patches, timestep MLP, shared modulation [12] x [12, 72], caption MLP of 5 tokens, [16, 12] x [12, 16].
  const double rest = 3072 + 3072 + 144 + 864 + 5 * (240 + 144) + 3072;
  EXPECT_EQ(transformer_flops(work_of(config)).forward, 2 * (3 * block + rest));
  config.multi_scale = config.micro_conditions = true;
  EXPECT_EQ(transformer_flops(work_of(config)).forward, 2 * (3 * block + rest + 3 * (256 * 4 + 16)));
}

// Of 16 tokens four pass block 1: its products with tokens are a quarter, of tokens with each other a sixteenth, and
// those of the caption the same.
TEST(Flops, SkippedTokensSaveWork) {
  const models::PixArtConfig config{
      {.input_size = 8, .hidden_size = 12, .depth = 3, .num_heads = 2, .mlp_ratio = 2.0},
      {.caption_channels = 20, .max_tokens = 5}};
  const auto all = work_of(config), few = all.skipping(0.75, 1, 2);
  const double of_all = 6912 + 2304 + 2 * 3072 + 2 * 4608 + 2 * 2304 + 5 * 12 * 24 + 2 * 960,
               of_few = (6912 + 2304 + 2 * 4608 + 2 * 2304 + 2 * 960) / 4.0 + 2 * 3072 / 16.0 + 5 * 12 * 24;
  EXPECT_DOUBLE_EQ(transformer_flops(all).forward - transformer_flops(few).forward, 2 * (of_all - of_few));
  EXPECT_DOUBLE_EQ(transformer_flops(all).training - transformer_flops(few).training, 6 * (of_all - of_few));
  EXPECT_EQ(transformer_flops(all.skipping(0, 1, 2)).training, transformer_flops(all).training);
  const Flops half = mixed(transformer_flops(few), transformer_flops(all), 0.5);
  EXPECT_DOUBLE_EQ(half.training, (transformer_flops(few).training + transformer_flops(all).training) / 2);
  EXPECT_EQ(half.forward, transformer_flops(all).forward) << "samples are drawn with all tokens";
}

// Block 1 of the tiny PixArt has four keys in place of sixteen: products of 16 x 4 x 12 in place of 16 x 16 x 12,
// and two convolutions with four outputs of 12 channels, each a sum of four.
TEST(Flops, CompressedKeysSaveWork) {
  models::PixArtConfig config{{.input_size = 8, .hidden_size = 12, .depth = 3, .num_heads = 2},
                              {.caption_channels = 20, .max_tokens = 5, .multi_scale = true}};
  const auto plain = transformer_flops(work_of(config), 1);
  config.kv_compression = {.sampling = models::KvSampling::kAverage, .factor = 2, .layers = {1}};
  const auto average = transformer_flops(work_of(config), 1);
  const double saved = 2 * 2 * (3072 - 768);
  EXPECT_EQ(plain.forward - average.forward, saved);
  EXPECT_EQ(plain.executed - average.executed, 4 * saved);
  config.kv_compression.sampling = models::KvSampling::kConv;
  EXPECT_EQ(transformer_flops(work_of(config)).forward - average.forward, 2 * 2 * 4 * 4 * 12);
}

TEST(Flops, TrainingLeavesOutWhatNobodyNeeds) {
  const auto shape = work_of(pixart(32));
  const auto flops = transformer_flops(shape);
  // Gradients of patches and of caption features.
  const double unneeded = 2.0 * 256 * 16 * 1152 + 2.0 * 120 * 4096 * 1152;
  EXPECT_DOUBLE_EQ(flops.training, 3 * flops.forward - unneeded);
  EXPECT_DOUBLE_EQ(flops.executed, flops.training);
  const auto frozen = transformer_flops(shape, 0, {.share = 0.25});
  EXPECT_DOUBLE_EQ(frozen.training, 2.25 * flops.forward - unneeded);
}

TEST(Flops, AdaptersNeedNoGradientsOfTheWeights) {
  const auto shape = work_of(pixart(32));
  const double plain = transformer_flops(shape).forward, adapters = 2.0 * 256 * 11.9e6;
  const auto lora = transformer_flops(shape, 0, {.share = 0, .adapters = 11'900'000});
  EXPECT_DOUBLE_EQ(lora.forward, plain + adapters);
  EXPECT_NEAR(lora.training, 2 * plain + 3 * adapters, 0.01 * plain);
}

TEST(Flops, RecomputingAddsTheBlocksForward) {
  const auto shape = work_of(pixart(32));
  const auto plain = transformer_flops(shape), all = transformer_flops(shape, 1),
             third = transformer_flops(shape, 3);
  EXPECT_EQ(all.training, plain.training);
  const double block = (all.executed - plain.executed) / 28;
  EXPECT_NEAR(block * 28, plain.forward, 0.01 * plain.forward);
  EXPECT_NEAR(third.executed - plain.executed, 9 * block, 1);  // blocks 3, 6 ... 27
}

// SD's autoencoder: 272.7 and 1116.7 GFLOP to encode an image.
TEST(Flops, OfTheAutoencoder) {
  auto config = models::vae_preset("sd-vae");
  EXPECT_NEAR(autoencoder_cost(config, 256).encode, 272.7e9, 0.03 * 272.7e9);
  EXPECT_NEAR(autoencoder_cost(config, 512).encode, 1116.7e9, 0.03 * 1116.7e9);
  EXPECT_GT(autoencoder_cost(config, 256).decode, autoencoder_cost(config, 256).encode);
  // TAESD: a convolution of 64 channels costs 2 * 9 * 64 * 64 a pixel; three for each block, and the ends.
  config.block_out_channels = {64, 64, 64, 64};
  config.tiny = models::TinyBlocks{};
  const double unit = 2.0 * 9 * 64 * 64 * 256 * 256, ends = unit * (3 + 4.0 / 64) / 64;
  EXPECT_NEAR(autoencoder_cost(config, 256).encode, unit * (3 + 10 * (1.0 / 4 + 1.0 / 16 + 1.0 / 64)) + ends,
              1);
  EXPECT_NEAR(autoencoder_cost(config, 256).decode, unit * (4 + 10 * (1.0 / 4 + 1.0 / 16) + 9.0 / 64) + ends,
              1);
  const double plain = autoencoder_cost(config, 256).encode;
  config.tiny->normed = true;
  EXPECT_NEAR(autoencoder_cost(config, 256).encode - plain, 3 * 2.0 * 8 * 64 * 64 * 32 * 32, 1);
}

// The teacher with both conditions and the target compute forward only.
TEST(Flops, ADistilledSampleAlsoRunsTeacherAndTarget) {
  const models::TransformerWork shape = work_of(pixart(32));
  run::StageConfig stage;
  stage.objective = "text_conditional";
  const auto plain = transformer_flops(shape);
  EXPECT_EQ(stage_flops(stage, shape, {}).training, plain.training);
  stage.objective = "consistency";
  EXPECT_EQ(stage_flops(stage, shape, {}).training, plain.training + 3 * plain.forward);
  EXPECT_EQ(stage_flops(stage, shape, {}).forward, plain.forward);
}

}  // namespace
}  // namespace pixart::plan
