#include "pixart/plan/memory_plan.h"

#include <gtest/gtest.h>

namespace pixart::plan {
namespace {

models::TransformerWork xl() { return models::published_transformer("PixArt-XL/2").work(); }

TEST(MemoryPlan, SumsItsParts) {
  MemoryParts parts;
  double expected = 0, value = 1;
  for (double* part :
       {&parts.weights, &parts.low_precision_copies, &parts.gradients, &parts.optimizer, &parts.ema,
        &parts.communication, &parts.activations, &parts.workspace, &parts.buffers, &parts.reserve})
    expected += * part = value *= 2;
  EXPECT_EQ(parts.total(), expected);
}

// 58 bytes a token, channel and layer in bfloat16, 92 in float32; what else is kept is a few percent.
TEST(MemoryPlan, BytesATokenAndChannel) {
  const double unit = 256.0 * 1152 * 28;
  EXPECT_NEAR(activation_bytes(xl(), {.bfloat16 = true}).kept / unit, 58, 0.06 * 58);
  EXPECT_NEAR(activation_bytes(xl(), {.bfloat16 = false}).kept / unit, 92, 0.06 * 92);
}

// Normalised queries and keys, and in bfloat16 what they were made from in float32.
TEST(MemoryPlan, QkNormKeepsQueriesAndKeys) {
  auto with_norm = xl();
  with_norm.qk_norm = true;
  const double unit = 256.0 * 1152 * 28;
  for (const bool bfloat16 : {false, true}) {
    const double more = activation_bytes(with_norm, {.bfloat16 = bfloat16}).kept -
                        activation_bytes(xl(), {.bfloat16 = bfloat16}).kept;
    const double expected = bfloat16 ? 2 * (2 + 4) : 2 * 4;
    EXPECT_NEAR(more / unit, expected, 0.02 * expected);
  }
}

// Half of the blocks keep a quarter of the keys and values once more, and the norm's input in float32.
TEST(MemoryPlan, CompressedKeysAreCopies) {
  models::PixArtConfig config = models::pixart_preset("PixArt-Sigma-XL/2");
  const auto plain = models::TransformerConfig(config).work();
  for (int64_t layer = 14; layer < 28; ++layer) config.kv_compression.layers.push_back(layer);
  const auto more = [&](models::KvSampling sampling, bool bfloat16) {
    config.kv_compression.sampling = sampling;
    const ActivationOptions options{.bfloat16 = bfloat16};
    return activation_bytes(models::TransformerConfig(config).work(), options).kept -
           activation_bytes(plain, options).kept;
  };
  const double unit = 1024.0 * 1152 * 14;  // a quarter of 64 x 64 tokens
  EXPECT_NEAR(more(models::KvSampling::kConv, false) / unit, 2 * (4 + 4), 0.1);
  EXPECT_NEAR(more(models::KvSampling::kConv, true) / unit, 2 * (2 + 4), 0.1);
  EXPECT_NEAR(more(models::KvSampling::kUniform, true) / unit, 2 * 2, 0.01);
  EXPECT_EQ(more(models::KvSampling::kEvery, true), 0);
}

TEST(MemoryPlan, GrowsWithTheMicroBatchAndShrinksWithCheckpointing) {
  const auto one = activation_bytes(xl(), {.bfloat16 = true, .micro_batch = 1}),
             eight = activation_bytes(xl(), {.bfloat16 = true, .micro_batch = 8}),
             all = activation_bytes(xl(), {.bfloat16 = true, .recompute_every = 1, .micro_batch = 8}),
             half = activation_bytes(xl(), {.bfloat16 = true, .recompute_every = 2, .micro_batch = 8});
  EXPECT_DOUBLE_EQ(eight.kept, 8 * one.kept);
  EXPECT_GE(eight.peak, eight.kept);
  EXPECT_LT(all.peak, 0.2 * eight.peak);
  EXPECT_LT(all.peak, half.peak);
  EXPECT_LT(half.peak, 0.65 * eight.peak);
}

}  // namespace
}  // namespace pixart::plan
