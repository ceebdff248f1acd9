#include "pixart/models/alignment.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace pixart::models {
namespace {

TEST(Alignment, FeaturesComeToTheGridOfTheTokens) {
  const at::Tensor features = at::arange(16, at::kFloat).view({1, 1, 4, 4});
  EXPECT_TRUE(at::equal(features_on_grid(features, 4, 4), at::arange(16, at::kFloat).view({1, 16, 1})));
  EXPECT_TRUE(at::equal(features_on_grid(features, 2, 2).flatten(), at::tensor({2.5f, 4.5f, 10.5f, 12.5f})));
  EXPECT_EQ(features_on_grid(features, 8, 3).sizes(), at::IntArrayRef({1, 24, 1}));
}

TEST(Alignment, TheLossIsOfDirectionsAlone) {
  const at::Tensor a = at::randn({2, 5, 7}), b = at::randn({2, 5, 7});
  EXPECT_TRUE(at::allclose(alignment_losses(a, 3 * a), at::zeros({2}), 0, 1e-6));
  EXPECT_TRUE(at::allclose(alignment_losses(a, -a), at::full({2}, 2.0), 0, 1e-6));
  EXPECT_TRUE(at::allclose(alignment_losses(5 * a, b), alignment_losses(a, b), 0, 1e-6));
}

TEST(Alignment, NamesAreTold) {
  nn::StateDict state;
  const AlignmentProjection projection(nn::Scope(state), {.width = 3, .hidden = 4, .channels = 5});
  EXPECT_EQ(state.items().size(), 6u);
  for (const auto& item : state.items()) EXPECT_TRUE(is_alignment_name(item.name)) << item.name;
  EXPECT_FALSE(is_alignment_name("blocks.0.attn.qkv.weight"));
  EXPECT_EQ(projection(at::zeros({2, 6, 3})).sizes(), at::IntArrayRef({2, 6, 5}));
}

}  // namespace
}  // namespace pixart::models
