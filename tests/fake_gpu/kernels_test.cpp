// CUDA kernels as host code: the product's, and those of test_kernels.cu.
#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <vector>

#include "adamw_element.h"
#include "cuda/test_kernels.h"

namespace pixart::optim::kernels {
namespace {

std::vector<float> random_values(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

struct Buffers {
  std::vector<float> values, gradients, exp_avg, exp_avg_sq, ema;
  explicit Buffers(size_t count)
      : values(random_values(count, 1)),
        gradients(random_values(count, 2)),
        exp_avg(random_values(count, 3)),
        exp_avg_sq(random_values(count, 4)),
        ema(random_values(count, 5)) {
    for (float& value : exp_avg_sq) value = std::abs(value);
  }
  AdamWBuffers<float> pointers(size_t from, bool with_ema) {
    return {values.data() + from, gradients.data() + from, exp_avg.data() + from, exp_avg_sq.data() + from,
            with_ema ? ema.data() + from : nullptr};
  }
};

// The two compilers may fuse a product and a sum differently.
constexpr double kTolerance = 1e-6;

void expect_near(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], kTolerance) << i;
}

class AdamW : public ::testing::TestWithParam<std::pair<int64_t, int>> {};

TEST_P(AdamW, TheKernelComputesWhatTheCpuComputes) {
  const auto [count, from] = GetParam();  // from 1: not aligned to 16 bytes
  const AdamWCoefficients coefficients{0.7, 1 - 1e-4, count / 2, 0.9, 0.999, 1e-3, 1.02, 1e-10, 0.999};
  const AdamWElement<float> element(coefficients);
  for (const bool with_ema : {false, true}) {
    Buffers kernel(size_t(count + from)), cpu(size_t(count + from));
    ASSERT_EQ(adamw_cuda(kernel.pointers(size_t(from), with_ema), &element, {}, count, nullptr), nullptr);
    adamw_cpu<float>(cpu.pointers(size_t(from), with_ema), coefficients, 0, count);
    expect_near(kernel.values, cpu.values);
    expect_near(kernel.exp_avg, cpu.exp_avg);
    expect_near(kernel.exp_avg_sq, cpu.exp_avg_sq);
    expect_near(kernel.ema, cpu.ema);
  }
}
INSTANTIATE_TEST_SUITE_P(Sizes, AdamW,
                         ::testing::Values(std::pair(1, 0), std::pair(7, 0), std::pair(4096, 0),
                                           std::pair(100003, 0), std::pair(4099, 1)));

TEST(AdamWOfANorm, TheClipFactorIsTheHosts) {
  constexpr size_t kCount = 1000;
  for (const auto& [squared, most] : {std::pair{9.0, 1.0}, std::pair{0.04, 1.0}, std::pair{1e-9, 1e-3}}) {
    AdamWCoefficients coefficients{1, 1 - 1e-4, kCount, 0.9, 0.999, 1e-3, 1.02, 1e-10, 0.999};
    const AdamWElement<float> without(coefficients);
    coefficients.gradient_scale = clip_factor_of(std::sqrt(squared), most);
    const AdamWElement<float> with(coefficients);
    Buffers by_device(kCount), by_host(kCount);
    ASSERT_EQ(adamw_cuda(by_device.pointers(0, true), &without, {&squared, most}, kCount, nullptr), nullptr);
    ASSERT_EQ(adamw_cuda(by_host.pointers(0, true), &with, {}, kCount, nullptr), nullptr);
    EXPECT_EQ(by_device.values, by_host.values);
    EXPECT_EQ(by_device.ema, by_host.ema);
  }
}

TEST(Kernels, BarriersAndShufflesWork) {
  constexpr int kRows = 5, kWidth = 300;
  const auto rows = random_values(kRows * kWidth, 6);
  std::vector<float> out(rows.size());
  normalize(rows.data(), out.data(), kRows, kWidth);
  for (int row = 0; row < kRows; ++row) {
    double mean = 0, variance = 0;
    for (int i = 0; i < kWidth; ++i) mean += rows[size_t(row * kWidth + i)] / kWidth;
    for (int i = 0; i < kWidth; ++i) variance += std::pow(rows[size_t(row * kWidth + i)] - mean, 2) / kWidth;
    for (int i = 0; i < kWidth; ++i) {
      const auto at = size_t(row * kWidth + i);
      ASSERT_NEAR(out[at], (rows[at] - mean) / std::sqrt(variance + 1e-6), 1e-5);
    }
  }
}

TEST(Kernels, DynamicSharedMemoryIsOfTheBlock) {
  const auto in = random_values(3 * 64, 7);
  std::vector<float> out(in.size());
  reverse_in_blocks(in.data(), out.data(), 3, 64, true);
  for (size_t i = 0; i < in.size(); ++i) ASSERT_EQ(out[i], in[i / 64 * 64 + 63 - i % 64]);
}

TEST(Kernels, AMissingBarrierChangesTheResult) {
  const auto in = random_values(64, 8);
  std::vector<float> out(in.size());
  reverse_in_blocks(in.data(), out.data(), 1, 64, false);
  EXPECT_TRUE(std::isnan(out[0])) << "it read what no thread had written";
}

TEST(Kernels, AWarpMayGoOnWithoutTheOthers) {
  std::vector<double> in(96, 0.5);
  double out = 0;
  sum_first_warp(in.data(), &out);
  EXPECT_EQ(out, 16);
}

TEST(KernelsDeathTest, BarriersThatDoNotMeetAreNamed) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  EXPECT_DEATH(split_barriers(64), "test_kernels.cu:[0-9]+: threads of a block wait at different barriers");
}

TEST(Kernels, ALaunchThatCudaRefusesIsAnError) {
  EXPECT_STREQ(split_barriers(2000), "invalid configuration argument");
  EXPECT_STREQ(split_barriers(0), "invalid configuration argument");
}

}  // namespace
}  // namespace pixart::optim::kernels
