#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pixart/base/error.h"
#include "pixart/models/transformer.h"

namespace pixart::models {
namespace {

// float32 rounding of values up to 1.
constexpr double kRounding = 6e-8;

double feature(double coordinate, int64_t k, int64_t count) {
  const double angle = coordinate * std::pow(10000.0, -double(k % count) / double(count));
  return k < count ? std::sin(angle) : std::cos(angle);
}

TEST(SincosPositions, TheFirstHalfIsTheColumn) {
  constexpr int64_t kWidth = 16, kRows = 3, kCols = 5, kBase = 4;
  const at::Tensor table = sincos_positions(kWidth, kRows, kCols, kBase, 2.0);
  ASSERT_EQ(table.sizes(), at::IntArrayRef({1, kRows * kCols, kWidth}));
  EXPECT_EQ(table.scalar_type(), at::kFloat);
  for (int64_t row = 0; row < kRows; ++row)
    for (int64_t col = 0; col < kCols; ++col)
      for (int64_t k = 0; k < kWidth / 2; ++k) {
        const at::Tensor token = table[0][row * kCols + col];
        const double across = col / (double(kCols) / kBase) / 2, down = row / (double(kRows) / kBase) / 2;
        // The released code keeps coordinates in float32, which moves an angle of at most 2 by 1.2e-7.
        EXPECT_NEAR(token[k].item<double>(), feature(across, k, kWidth / 4), kRounding + 2.4e-7);
        EXPECT_NEAR(token[kWidth / 2 + k].item<double>(), feature(down, k, kWidth / 4), kRounding + 2.4e-7);
      }
}

TEST(SincosPositions, ReleasedGridOf1024Pixels) {
  const at::Tensor token = sincos_positions(1152, 64, 64, 64, 2.0)[0][1];
  for (const int64_t k : {0, 1, 100, 287}) {
    EXPECT_NEAR(token[k].item<double>(), std::sin(0.5 * std::pow(10000.0, -double(k) / 288)), kRounding);
    EXPECT_EQ(token[576 + k].item<double>(), 0.0);
    EXPECT_EQ(token[864 + k].item<double>(), 1.0);
  }
}

TEST(SincosPositions, NeedsAWidthThatFourDivides) {
  EXPECT_THROW(sincos_positions(10, 2, 2, 2, 1), InternalError);
}

}  // namespace
}  // namespace pixart::models
