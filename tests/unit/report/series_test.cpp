#include "series.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pixart::report {
namespace {
using ::testing::ElementsAre;

const double kNaN = std::nan("");

Series noise(int size) {
  Series series;
  uint32_t state = 1;
  for (int i = 0; i < size; ++i) {
    state = state * 1664525u + 1013904223u;
    series.push_back({double(i), double(state >> 8) / double(1 << 24)});
  }
  return series;
}

TEST(Thinned, KeepsLeastLargestFirstAndLast) {
  Series series = noise(100000);
  series[41234].y = 50;
  series[77777].y = -50;
  const Series thin = thinned(series, 0, 99999, 500);
  EXPECT_LE(thin.size(), 1002u);
  EXPECT_GE(thin.size(), 500u);
  const auto extent = extent_of(thin).value();
  EXPECT_EQ(extent.most, 50);
  EXPECT_EQ(extent.least, -50);
  EXPECT_EQ(thin.front().x, 0);
  EXPECT_EQ(thin.back().x, 99999);
  for (size_t i = 1; i < thin.size(); ++i) ASSERT_LT(thin[i - 1].x, thin[i].x);
}

// In each column the drawn range is that of all its points.
TEST(Thinned, EachColumnHasItsRange) {
  const Series series = noise(10000), thin = thinned(series, 0, 10000, 100);
  for (int column = 0; column < 100; ++column) {
    Series all, kept;
    for (const auto& point : series)
      if (int(point.x / 100) == column) all.push_back(point);
    for (const auto& point : thin)
      if (int(point.x / 100) == column) kept.push_back(point);
    ASSERT_EQ(extent_of(all)->least, extent_of(kept)->least) << column;
    ASSERT_EQ(extent_of(all)->most, extent_of(kept)->most) << column;
  }
}

TEST(Thinned, ShortOnesStayAndGapsAreKept) {
  const Series few = noise(10);
  EXPECT_EQ(thinned(few, 0, 9, 10).size(), 10u);
  Series series = noise(1000);
  series[500].y = kNaN;
  EXPECT_EQ(num_gaps(thinned(series, 0, 999, 50)), 1);
}

TEST(Smoothed, StartsWithTheFirstValueAndKeepsGaps) {
  const Series flat(50, {0, 3.0});
  for (const auto& point : smoothed(flat, 0.5)) EXPECT_NEAR(point.y, 3, 1e-12);
  Series series = {{0, 1}, {1, kNaN}, {2, 1}};
  const Series smooth = smoothed(series, 1);
  EXPECT_TRUE(std::isnan(smooth[1].y));
  EXPECT_NEAR(smooth[2].y, 1, 1e-12);
  const auto raw = extent_of(noise(1000)).value(), calm = extent_of(smoothed(noise(1000), 0.1)).value();
  EXPECT_EQ(smoothed(noise(1000), 0)[500].y, noise(1000)[500].y);
  EXPECT_GT(raw.most - raw.least, calm.most - calm.least - 1e-12);
  EXPECT_NEAR(smoothed(noise(1000), 0.1).back().y, 0.5, 0.1);
}

TEST(Values, OfSeries) {
  const Series series = {{10, 5}, {20, kNaN}, {30, 1}, {40, 3}};
  EXPECT_EQ(median_of(series), 3);
  EXPECT_EQ(last_of(series), 3);
  EXPECT_EQ(num_gaps(series), 1);
  EXPECT_TRUE(std::isnan(value_at(series, 9)));
  EXPECT_EQ(value_at(series, 10), 5);
  EXPECT_EQ(value_at(series, 39), 1);
  EXPECT_EQ(value_at(series, 1000), 3);
  for (const Series& nothing : {Series{}, Series{{0, kNaN}}}) {
    EXPECT_FALSE(extent_of(nothing).has_value());
    EXPECT_FALSE(median_of(nothing).has_value());
    EXPECT_FALSE(last_of(nothing).has_value());
  }
}

TEST(Ticks, AreRoundAndFew) {
  EXPECT_THAT(linear_ticks(0, 1, 5),
              ElementsAre(0, 0.2, ::testing::DoubleEq(0.4), ::testing::DoubleEq(0.6), 0.8, 1));
  EXPECT_THAT(linear_ticks(3, 47, 4), ElementsAre(20, 40));
  EXPECT_THAT(linear_ticks(5, 5, 4), ElementsAre(5));
  EXPECT_THAT(log_ticks(0.1, 1), ElementsAre(0.1, 0.2, 0.5, 1));
  EXPECT_THAT(log_ticks(0.01, 100), ElementsAre(0.01, 0.1, 1, 10, 100));
}

// Such numbers must not make endless axes.
TEST(Ticks, OfOddRangesEnd) {
  for (const auto& [least, most] : {std::pair{1e149, 1.0000000000000002e149}, {-1e149, 1e149}, {0.0, 5e-324}})
    EXPECT_LE(linear_ticks(least, most, 4).size(), 20u) << least << " " << most;
  EXPECT_LE(log_ticks(1e-300, 1e149).size(), 10u);
  EXPECT_LE(log_ticks(5e-324, 1).size(), 10u);
}

TEST(Numbers, AreShort) {
  EXPECT_EQ(number_text(0.00002), "2e-05");
  EXPECT_EQ(number_text(1234), "1234");
  EXPECT_EQ(number_text(20000), "20k");
  EXPECT_EQ(number_text(-1.5e6), "-1.5M");
  EXPECT_EQ(number_text(25e9), "25G");
  EXPECT_EQ(number_text(kNaN), "not finite");
}

}  // namespace
}  // namespace pixart::report
