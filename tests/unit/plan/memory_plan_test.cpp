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
