#include "pixart/base/random.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

namespace pixart {
namespace {

using Block = std::array<uint32_t, 4>;

// Known answers of Random123 (kat_vectors, philox4x32 with 10 rounds).
TEST(Random, PhiloxKnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}), (Block{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  constexpr uint32_t kOnes = 0xffffffff;
  EXPECT_EQ(philox4x32({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}),
            (Block{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Block{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

TEST(Random, EveryPartOfTheKeyMatters) {
  std::set<Block> seen;
  size_t drawn = 0;
  for (const uint64_t seed : {0ull, 1ull, 1ull << 32, 1ull << 63}) {
    for (const uint64_t stream : {0ull, 1ull, 1ull << 32, 1ull << 63}) {
      for (const Purpose purpose : {Purpose::kNoise, Purpose::kTimestep, Purpose::kTest}) {
        for (const uint64_t index : {0ull, 1ull, 1ull << 32, 1ull << 63}) {
          seen.insert(philox({seed, stream, purpose}, index));
          ++drawn;
        }
      }
    }
  }
  EXPECT_EQ(seen.size(), drawn);
}

// Values are part of the run format: a run that is resumed with another build must go on with the same
// numbers.
TEST(Random, ValuesNeverChange) {
  const RandomKey key{7, 42, Purpose::kNoise};
  EXPECT_EQ(philox(key, 3), (Block{0x5e9ec799, 0x0b46fb3e, 0x3f53dcfb, 0x6318324a}));
  EXPECT_EQ(permutation({0, 1, Purpose::kOrder}, 8), (std::vector<int64_t>{3, 6, 4, 2, 0, 7, 5, 1}));
  std::vector<float> values(2);
  fill_uniform(key, values);
  EXPECT_FLOAT_EQ(values[0], 0.9999599456787109f);
  fill_normal(key, values);  // FLOAT_EQ: the last bits of log, sin and cos belong to the C library
  EXPECT_FLOAT_EQ(values[0], 0.005066429789071459f);
  EXPECT_FLOAT_EQ(values[1], 0.007375152378691102f);
}

TEST(Random, UniformIsInRangeAndFlat) {
  const RandomKey key{1, 2, Purpose::kTest};
  std::array<int, 10> counts{};
  constexpr int kDraws = 100000;
  for (int i = 0; i < kDraws; ++i) {
    const double u = uniform(key, uint64_t(i));
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    ++counts[size_t(u * 10)];
  }
  for (const int count : counts) EXPECT_NEAR(count, kDraws / 10, 5 * std::sqrt(kDraws / 10));  // five sigma
}

TEST(Random, UniformBelow) {
  const RandomKey key{1, 2, Purpose::kTest};
  std::array<int, 7> counts{};
  for (uint64_t i = 0; i < 70000; ++i) ++counts.at(uniform_below(key, 7, i));
  for (const int count : counts) EXPECT_NEAR(count, 10000, 5 * std::sqrt(10000));
  EXPECT_EQ(uniform_below(key, 1), 0u);
}

TEST(Random, NormalMomentsAndTails) {
  std::vector<float> values(1000000);
  fill_normal({3, 4, Purpose::kNoise}, values);
  double sum = 0, squares = 0, fourths = 0;
  size_t beyond_two = 0;
  for (const double v : values) {
    ASSERT_TRUE(std::isfinite(v));
    sum += v, squares += v * v, fourths += v * v * v * v;
    beyond_two += std::abs(v) > 2 ? 1 : 0;
  }
  const auto n = double(values.size());
  EXPECT_NEAR(sum / n, 0, 5 / std::sqrt(n));           // five standard errors each:
  EXPECT_NEAR(squares / n, 1, 5 * std::sqrt(2 / n));   // Var(x^2) = 2
  EXPECT_NEAR(fourths / n, 3, 5 * std::sqrt(96 / n));  // Var(x^4) = 96
  EXPECT_NEAR(double(beyond_two) / n, std::erfc(std::sqrt(2.0)), 5 * std::sqrt(0.0455 / n));
}

TEST(Random, FillsArePureFunctionsOfTheIndex) {
  const RandomKey key{5, 6, Purpose::kNoise};
  std::vector<float> all(1003), part(10), empty;
  fill_normal(key, all);
  fill_normal(key, part);
  fill_normal(key, empty);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin()));
  fill_uniform(key, all);
  fill_uniform(key, part);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin()));
  EXPECT_TRUE(std::all_of(all.begin(), all.end(), [](float u) { return u >= 0 && u < 1; }));
}

TEST(Random, Permutation) {
  const RandomKey key{5, 6, Purpose::kOrder};
  EXPECT_TRUE(permutation(key, 0).empty());
  EXPECT_EQ(permutation(key, 1), (std::vector<int64_t>{0}));
  auto order = permutation(key, 1000);
  EXPECT_EQ(order, permutation(key, 1000));
  EXPECT_NE(order, permutation({5, 7, Purpose::kOrder}, 1000));
  std::sort(order.begin(), order.end());
  std::vector<int64_t> numbers(1000);
  std::iota(numbers.begin(), numbers.end(), 0);
  EXPECT_EQ(order, numbers);
}

TEST(Random, EveryOrderIsEquallyLikely) {
  std::array<int, 6> counts{};
  for (uint64_t stream = 0; stream < 60000; ++stream) {
    const auto order = permutation({1, stream, Purpose::kOrder}, 3);
    ++counts[size_t(order[0] * 2 + (order[1] > order[2] ? 1 : 0))];
  }
  for (const int count : counts) EXPECT_NEAR(count, 10000, 5 * std::sqrt(10000));
}

}  // namespace
}  // namespace pixart
