// The kernels that move gradients and round weights, against plain loops.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "adamw_element.h"
#include "gradients.h"

namespace pixart::optim::kernels {
namespace {

std::vector<float> drawn(size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

TEST(Bfloat16, RoundsToTheNearestEvenNumber) {
  const auto bits = [](float value) { return to_bfloat16(value).bits; };
  EXPECT_EQ(bits(1.0F), 0x3f80);
  EXPECT_EQ(bits(1.0F + 0x1p-8F), 0x3f80) << "a tie goes to the even number";
  EXPECT_EQ(bits(1.0F + 3 * 0x1p-8F), 0x3f82);
  EXPECT_EQ(bits(1.0F + 0x1.01p-8F), 0x3f81);
  EXPECT_EQ(bits(-0.0F), 0x8000);
  EXPECT_EQ(bits(std::numeric_limits<float>::max()), 0x7f80) << "rounded up, to infinity";
  EXPECT_EQ(bits(std::numeric_limits<float>::infinity()), 0x7f80);
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::numeric_limits<float>::quiet_NaN()))));
  EXPECT_EQ(to_float(Bfloat16Bits{0x4049}), 3.140625F);
}

// A piece: its number of elements, whether it is bfloat16, whether it adds, and how far its source is from 16 bytes.
struct Piece {
  int64_t count;
  bool is_bfloat16, adds;
  int64_t shift;
};

class Gather : public ::testing::TestWithParam<std::vector<Piece>> {};

TEST_P(Gather, AddsAndSquares) {
  std::vector<std::vector<float>> wide;
  std::vector<std::vector<Bfloat16Bits>> narrow;
  GradientPieces pieces{};
  int64_t size = 0, tiles = 0;
  for (const Piece& piece : GetParam()) {
    wide.push_back(drawn(size_t(piece.count + piece.shift), unsigned(wide.size() + 1)));
    narrow.emplace_back();
    for (const float value : wide.back()) narrow.back().push_back(to_bfloat16(value));
    const void* source = piece.is_bfloat16 ? static_cast<const void*>(narrow.back().data() + piece.shift)
                                           : static_cast<const void*>(wide.back().data() + piece.shift);
    pieces.pieces[pieces.count++] = {source, size, piece.count, tiles, piece.is_bfloat16, piece.adds};
    size += piece.count;
    tiles += gradient_tiles(piece.count);
  }
  const auto before = drawn(size_t(size), 99);
  for (const bool measures : {false, true}) {
    auto flat = before, expected = before;
    std::vector<double> sums(size_t(tiles), -1), expected_sums(size_t(tiles), -1);
    ASSERT_EQ(gather_gradients_cuda(flat.data(), pieces, measures ? sums.data() : nullptr, nullptr), nullptr);
    gather_gradients_cpu(expected.data(), pieces, measures ? expected_sums.data() : nullptr);
    EXPECT_EQ(flat, expected) << "to the bit";
    for (size_t i = 0; i < sums.size(); ++i)
      ASSERT_NEAR(sums[i], expected_sums[i], 1e-12 * std::abs(expected_sums[i]));
    // What was gathered, without the kernel's own loop.
    for (int p = 0; p < pieces.count; ++p) {
      const Piece& piece = GetParam()[size_t(p)];
      for (int64_t i = 0; i < piece.count; ++i) {
        const auto at = size_t(pieces.pieces[p].offset + i), from = size_t(i + piece.shift);
        const float given = piece.is_bfloat16 ? to_float(narrow[size_t(p)][from]) : wide[size_t(p)][from];
        ASSERT_EQ(flat[at], piece.adds ? before[at] + given : given) << p << " " << i;
      }
    }
    if (!measures) continue;
    std::vector<double> again(size_t(gradient_tiles(size)));
    ASSERT_EQ(tile_squares_cuda(flat.data(), size, again.data(), nullptr), nullptr);
    double all = 0, all_again = 0;
    for (const double sum : sums) all += sum;
    for (const double sum : again) all_again += sum;
    EXPECT_NEAR(all, all_again, 1e-12 * all);
  }
}
INSTANTIATE_TEST_SUITE_P(
    Pieces, Gather,
    ::testing::Values(
        std::vector<Piece>{}, std::vector<Piece>{{1, false, false, 0}},
        std::vector<Piece>{{0, true, true, 0}, {7, true, true, 0}},
        std::vector<Piece>{
            {1152, true, false, 0}, {5, false, true, 0}, {8192, true, true, 0}, {8193, false, false, 0}},
        std::vector<Piece>{{4096, true, true, 1}, {4096, false, true, 3}, {20001, true, false, 2}},
        std::vector<Piece>(64, Piece{33, true, true, 0})));

class Tiles : public ::testing::TestWithParam<int64_t> {};

TEST_P(Tiles, AddUpToTheSquareOfTheNorm) {
  const int64_t count = GetParam();
  for (const int64_t shift : {0, 1}) {
    const auto values = drawn(size_t(count + shift), 3);
    std::vector<double> sums(size_t(gradient_tiles(count))), expected(sums.size());
    ASSERT_EQ(tile_squares_cuda(values.data() + shift, count, sums.data(), nullptr), nullptr);
    tile_squares_cpu(values.data() + shift, count, expected.data());
    for (size_t i = 0; i < sums.size(); ++i) ASSERT_NEAR(sums[i], expected[i], 1e-12 * expected[i]);
    double plain = 0;
    for (int64_t i = 0; i < count; ++i) plain += std::pow(double(values[size_t(i + shift)]), 2);
    const float narrow = 0.7F;
    const double wide = 0.7;
    for (const LossValue& loss : {LossValue{}, LossValue{&narrow, nullptr}, LossValue{nullptr, &wide}}) {
      double totals[2] = {-1, -1};
      ASSERT_EQ(totals_cuda(loss, sums.data(), int64_t(sums.size()), totals, nullptr), nullptr);
      EXPECT_EQ(totals[0], loss.as_float != nullptr    ? double(narrow)
                           : loss.as_double != nullptr ? wide
                                                       : 0.0);
      EXPECT_NEAR(totals[1], plain, 1e-12 * plain);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(Sizes, Tiles, ::testing::Values(0, 1, 31, 8191, 8192, 8193, 100003));

class Rounded : public ::testing::TestWithParam<std::pair<int64_t, int64_t>> {};

TEST_P(Rounded, AdamWWritesTheCopyAndChangesNothingElse) {
  const auto [count, from] = GetParam();  // from 1: not aligned
  const AdamWCoefficients coefficients{0.7, 1 - 1e-4, count / 2, 0.9, 0.999, 1e-3, 1.02, 1e-10, 0.999};
  const AdamWElement<float> element(coefficients);
  std::vector<std::vector<float>> results;
  for (const bool with_copy : {false, true}) {
    auto values = drawn(size_t(count + from), 1), gradients = drawn(size_t(count + from), 2),
         exp_avg = drawn(size_t(count + from), 3),
         exp_avg_sq = std::vector<float>(size_t(count + from), 0.5F), ema = drawn(size_t(count + from), 4);
    std::vector<Bfloat16Bits> copy(size_t(count + from));
    const AdamWBuffers<float> buffers{values.data() + from,  gradients.data() + from,
                                      exp_avg.data() + from, exp_avg_sq.data() + from,
                                      ema.data() + from,     with_copy ? copy.data() + from : nullptr};
    ASSERT_EQ(adamw_cuda(buffers, &element, {}, count, nullptr), nullptr);
    for (int64_t i = 0; with_copy && i < count; ++i)
      ASSERT_EQ(copy[size_t(i + from)].bits, to_bfloat16(values[size_t(i + from)]).bits) << i;
    values.insert(values.end(), ema.begin(), ema.end());
    results.push_back(values);
  }
  EXPECT_EQ(results[0], results[1]);
}

TEST_P(Rounded, TheAverageAndTheCopyAreOnePass) {
  const auto [count, from] = GetParam();
  const auto values = drawn(size_t(count + from), 1);
  for (const bool with_ema : {false, true}) {
    auto ema = drawn(size_t(count + from), 2), expected = ema;
    std::vector<Bfloat16Bits> copy(size_t(count + from));
    ASSERT_EQ(average_cuda(with_ema ? ema.data() + from : nullptr, copy.data() + from, values.data() + from,
                           0.9, count, nullptr),
              nullptr);
    if (with_ema) ema_cpu(expected.data() + from, values.data() + from, 0.9, 0, count);
    for (int64_t i = 0; i < count; ++i) {
      const auto at = size_t(i + from);
      ASSERT_NEAR(ema[at], expected[at], 1e-6);
      ASSERT_EQ(copy[at].bits, to_bfloat16(values[at]).bits);
    }
  }
}
INSTANTIATE_TEST_SUITE_P(
    Sizes, Rounded,
    ::testing::Values(std::pair<int64_t, int64_t>{0, 0}, std::pair<int64_t, int64_t>{1, 0},
                      std::pair<int64_t, int64_t>{7, 0}, std::pair<int64_t, int64_t>{4096, 0},
                      std::pair<int64_t, int64_t>{4099, 1}, std::pair<int64_t, int64_t>{30011, 0}));

}  // namespace
}  // namespace pixart::optim::kernels
