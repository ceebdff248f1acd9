#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "pixart/optim/adamw.h"

namespace pixart::optim {
namespace {

at::Tensor wave(int64_t size) { return at::sin(at::arange(size).to(at::kDouble) * 0.37).to(at::kFloat); }

TEST(GradientNorm, EqualsTheNormInDouble) {
  // Around the eight lanes and the 65536-element blocks of the summation.
  for (const int64_t size : {0, 1, 7, 8, 9, 65535, 65536, 65537, 300000}) {
    const at::Tensor gradients = wave(size);
    const double want = at::linalg_vector_norm(gradients.to(at::kDouble), 2).item<double>();
    EXPECT_NEAR(gradient_norm(gradients), want, 1e-12 * want) << size;
    EXPECT_NEAR(gradient_norm(gradients.to(at::kDouble)), want, 1e-12 * want) << size;
  }
}

TEST(GradientNorm, DoesNotDependOnTheNumberOfThreads) {
  const at::Tensor gradients = wave(1000003);
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const double one = gradient_norm(gradients);
  at::set_num_threads(2);
  const double two = gradient_norm(gradients);
  at::set_num_threads(before);
  EXPECT_EQ(one, two);
}

TEST(GradientNorm, SurvivesLargeValuesAndShowsBadOnes) {
  EXPECT_NEAR(gradient_norm(at::full({4}, 1e30f)) / 2e30, 1, 1e-6);
  at::Tensor gradients = wave(100000);
  gradients[70000] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(gradient_norm(gradients)));
  gradients[70000] = std::numeric_limits<float>::infinity();
  EXPECT_TRUE(std::isinf(gradient_norm(gradients)));
}

TEST(ClipFactor, LeavesSmallNormsAlone) {
  EXPECT_EQ(clip_factor(0.5, 1.0), 1.0);
  EXPECT_EQ(clip_factor(0.0, 1.0), 1.0);
  EXPECT_DOUBLE_EQ(clip_factor(4.0, 1.0), 1.0 / (4.0 + 1e-6));
}

}  // namespace
}  // namespace pixart::optim
