#include "pixart/base/bijection.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "pixart/base/error.h"

namespace pixart {
namespace {

RandomKey key_of(uint64_t stream) { return {.seed = 5, .stream = stream, .purpose = Purpose::kTest}; }

std::vector<int64_t> all(uint64_t stream, int64_t n) {
  std::vector<int64_t> values;
  for (int64_t i = 0; i < n; ++i) values.push_back(shuffled(key_of(stream), n, i));
  return values;
}

bool is_bijection(std::vector<int64_t> values) {
  std::sort(values.begin(), values.end());
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i] != int64_t(i)) return false;
  return true;
}

TEST(Bijection, HoldsEveryNumberOnce) {
  for (int64_t n = 1; n <= 400; ++n) EXPECT_TRUE(is_bijection(all(uint64_t(n), n))) << n;
  for (const int64_t n : {4095, 4096, 4097, 10007, 65536, 100003}) EXPECT_TRUE(is_bijection(all(1, n))) << n;
}

// Of large ones some elements: all different, and in range.
TEST(Bijection, LargeOnesHoldNothingTwice) {
  for (const int64_t n : {int64_t{50'000'000}, (int64_t{1} << 32) + 1, (int64_t{1} << 62) - 1}) {
    std::set<int64_t> seen;
    for (int64_t i = 0; i < 5000; ++i) {
      const int64_t value = shuffled(key_of(3), n, i < 2500 ? i : n - 1 - i);
      EXPECT_TRUE(value >= 0 && value < n) << n;
      seen.insert(value);
    }
    EXPECT_EQ(seen.size(), 5000u) << n;
  }
}

TEST(Bijection, IsAPureFunctionOfItsKey) {
  EXPECT_EQ(all(1, 1000), all(1, 1000));
  EXPECT_NE(all(1, 1000), all(2, 1000));
  const RandomKey other_seed{.seed = 6, .stream = 1, .purpose = Purpose::kTest},
      other_purpose{.seed = 5, .stream = 1, .purpose = Purpose::kOrder};
  int64_t same = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    const int64_t value = shuffled(key_of(1), 1000, i);
    same += (value == shuffled(other_seed, 1000, i)) + (value == shuffled(other_purpose, 1000, i));
  }
  EXPECT_LT(same, 15);  // 2 are expected
}

// Runs depend on these values for ever.
TEST(Bijection, IsAsRecorded) {
  const auto first = [](int64_t n) {
    return std::vector<int64_t>{shuffled(key_of(3), n, 0), shuffled(key_of(3), n, 1),
                                shuffled(key_of(3), n, 2)};
  };
  EXPECT_EQ(first(63), (std::vector<int64_t>{51, 0, 10}));
  EXPECT_EQ(first(64), (std::vector<int64_t>{14, 49, 56}));
  EXPECT_EQ(first(50'000'000), (std::vector<int64_t>{34719951, 32560784, 48220908}));
  EXPECT_EQ(first(5'000'000'000), (std::vector<int64_t>{4234884045, 1302190100, 1996241390}));
}

// Chi square of counts that should be equal, less its mean, in deviations of it.
double deviations(const std::vector<int64_t>& counts) {
  double total = 0, sum = 0;
  for (const int64_t count : counts) total += double(count);
  const double expected = total / double(counts.size()), freedom = double(counts.size()) - 1;
  for (const int64_t count : counts)
    sum += (double(count) - expected) * (double(count) - expected) / expected;
  return (sum - freedom) / std::sqrt(2 * freedom);
}

// Each element goes to each place equally often over many keys, also next to a fixed neighbour.
TEST(Bijection, SpreadsElementsOverAllPlaces) {
  for (const int64_t n : {2, 7, 63, 64, 72, 97}) {
    std::vector<int64_t> places(size_t(n * n)), steps(static_cast<size_t>(n - 1));
    for (uint64_t stream = 0; stream < 2000; ++stream) {
      const auto values = all(stream, n);
      for (int64_t i = 0; i < n; ++i) ++places[size_t(i * n + values[size_t(i)])];
      ++steps[size_t((values[1] - values[0] + n) % n - 1)];
    }
    EXPECT_LT(deviations(places), 5) << n;
    EXPECT_LT(n == 2 ? 0 : deviations(steps), 5) << n;
  }
}

// All orders of a few elements occur equally often.
TEST(Bijection, ReachesEveryOrderOfAFewElements) {
  std::map<std::vector<int64_t>, int64_t> counts;
  for (uint64_t stream = 0; stream < 24000; ++stream) ++counts[all(stream, 4)];
  ASSERT_EQ(counts.size(), 24u);
  std::vector<int64_t> values;
  for (const auto& [order, count] : counts) values.push_back(count);
  EXPECT_LT(deviations(values), 5);
}

// Elements next to each other go to places that have nothing to do with each other, in one large shuffle.
TEST(Bijection, SeparatesNeighbours) {
  constexpr int64_t kRows = 1'000'000, kCells = 20;
  std::vector<int64_t> pairs(size_t(kCells * kCells));
  int64_t before = shuffled(key_of(9), kRows, 0);
  for (int64_t i = 1; i < 100'000; ++i) {
    const int64_t value = shuffled(key_of(9), kRows, i);
    ++pairs[size_t(before * kCells / kRows * kCells + value * kCells / kRows)];
    before = value;
  }
  EXPECT_LT(deviations(pairs), 5);
}

TEST(Bijection, RefusesWhatIsOutside) {
  EXPECT_THROW(shuffled(key_of(1), 5, 5), InternalError);
  EXPECT_THROW(shuffled(key_of(1), 5, -1), InternalError);
  EXPECT_THROW(shuffled(key_of(1), 0, 0), InternalError);
}

}  // namespace
}  // namespace pixart
