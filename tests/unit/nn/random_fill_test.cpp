#include "pixart/nn/random_fill.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace pixart::nn {
namespace {

TEST(RandomFill, DependsOnSeedAndNameOnly) {
  const at::Tensor a = at::empty({50}), b = at::empty({50}), narrow = at::empty({50}, at::kBFloat16);
  fill_normal_named(a, "w", 3, 1.0);
  fill_normal_named(narrow, "w", 3, 1.0);
  EXPECT_TRUE(at::equal(narrow, a.to(at::kBFloat16)));
  fill_normal_named(b, "w", 3, 1.0);
  EXPECT_TRUE(at::equal(a, b));
  fill_normal_named(b, "v", 3, 1.0);
  EXPECT_FALSE(at::equal(a, b));
  fill_normal_named(b, "w", 4, 1.0);
  EXPECT_FALSE(at::equal(a, b));
}

// 5 standard errors: of a mean of n draws std/sqrt(n), of a standard deviation std/sqrt(2n).
TEST(RandomFill, HasTheMomentsAskedFor) {
  constexpr int64_t kCount = 40000;
  const at::Tensor x = at::empty({kCount});
  fill_normal_named(x, "w", 0, 0.02);
  EXPECT_NEAR(x.mean().item<double>(), 0, 5 * 0.02 / std::sqrt(kCount));
  EXPECT_NEAR(x.std().item<double>(), 0.02, 5 * 0.02 / std::sqrt(2.0 * kCount));
  fill_uniform_named(x, "w", 0, -0.25, 0.5);
  EXPECT_GE(x.min().item<double>(), -0.25);
  EXPECT_LE(x.max().item<double>(), 0.5);
  EXPECT_NEAR(x.mean().item<double>(), 0.125, 5 * 0.75 / std::sqrt(12.0 * kCount));
}

}  // namespace
}  // namespace pixart::nn
