#include "bucket_runs.h"

#include <gmock/gmock.h>

#include <cmath>
#include <numeric>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/random.h"

namespace pixart::data {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

int64_t sum(const std::vector<int64_t>& values) {
  return std::accumulate(values.begin(), values.end(), int64_t{0});
}

// A sample of a pass belongs to one bucket, whichever epoch takes it: shares only grow.
TEST(BucketRuns, SharesOfAPassAreEvenAndOnlyGrow) {
  for (const std::vector<int64_t>& samples : std::vector<std::vector<int64_t>>{
           {7}, {1, 0, 1}, {3, 3, 3}, {1000, 1, 10}, {0, 17, 4, 230, 5, 5, 1}}) {
    const int64_t all = sum(samples);
    std::vector<int64_t> before(samples.size());
    for (int64_t taken = 0; taken <= all; ++taken) {
      const auto shares = evenly_taken(samples, taken);
      EXPECT_EQ(sum(shares), taken);
      for (size_t i = 0; i < shares.size(); ++i) {
        EXPECT_GE(shares[i], before[i]);
        const double exact = double(taken) * double(samples[i]) / double(all);
        EXPECT_LT(std::abs(double(shares[i]) - exact), 2);
      }
      before = shares;
    }
    EXPECT_EQ(before, samples);
  }
  EXPECT_THROW(evenly_taken({3, 4}, 8), InternalError);
}

TEST(BucketRuns, SharesOfLargePassesAreExact) {
  const std::vector<int64_t> samples = {int64_t{1} << 40, 3, (int64_t{1} << 40) + 1};
  EXPECT_EQ(sum(evenly_taken(samples, 12'345'678'901)), 12'345'678'901);
  const auto half = evenly_taken(samples, (int64_t{1} << 40) + 2);
  EXPECT_NEAR(double(half[0]), double(int64_t{1} << 39), 1);
  EXPECT_NEAR(double(half[1]), 1.5, 0.5);
  EXPECT_EQ(sum(half), (int64_t{1} << 40) + 2);
}

std::vector<BucketRuns::Place> places(const BucketRuns::Config& config) {
  const BucketRuns runs(config);
  std::vector<BucketRuns::Place> result;
  for (int64_t i = 0; i < sum(config.samples); ++i) result.push_back(runs.at(i));
  return result;
}

std::vector<size_t> buckets_of(const std::vector<BucketRuns::Place>& places, int64_t first, int64_t count) {
  std::vector<size_t> result;
  for (int64_t i = first; i < first + count; ++i) result.push_back(places[size_t(i)].bucket);
  return result;
}

TEST(BucketRuns, EverySampleHasOnePlaceAndRunsHaveOneBucket) {
  for (const int64_t begun : {0, 1, 5, 7}) {
    const BucketRuns::Config config{
        .samples = {100, 3, 0, 41, 8}, .run = 8, .begun = begun, .seed = 3, .epoch = 11};
    const auto all = places(config);
    std::set<std::pair<size_t, int64_t>> seen;
    for (const auto& [bucket, index] : all) {
      EXPECT_TRUE(index >= 0 && index < config.samples[bucket]);
      EXPECT_TRUE(seen.emplace(bucket, index).second);
    }
    const int64_t first = begun == 0 ? 0 : 8 - begun;
    EXPECT_THAT(buckets_of(all, 0, first), Each(all[0].bucket));
    std::vector<int64_t> left = config.samples;
    if (first > 0) left[all[0].bucket] -= first;
    int64_t runs = 0;
    for (int64_t& count : left) runs += count / 8, count %= 8;
    for (int64_t run = 0; run < runs; ++run) {
      const auto buckets = buckets_of(all, first + run * 8, 8);
      EXPECT_THAT(buckets, Each(buckets[0])) << "run " << run;
    }
    const auto rest = buckets_of(all, first + runs * 8, sum(left));
    EXPECT_TRUE(std::is_sorted(rest.begin(), rest.end()));
  }
}

TEST(BucketRuns, ABatchIsFilledUpByABucketThatCan) {
  std::set<size_t> buckets;
  for (int64_t epoch = 0; epoch < 50; ++epoch) {
    const auto all = places({.samples = {3, 20, 4, 20}, .run = 8, .begun = 3, .seed = 1, .epoch = epoch});
    EXPECT_THAT(buckets_of(all, 0, 5), Each(all[0].bucket));
    buckets.insert(all[0].bucket);
  }
  EXPECT_THAT(buckets, ElementsAre(1, 3));
  const auto none = places({.samples = {3, 4, 2}, .run = 8, .begun = 3, .seed = 1, .epoch = 0});
  EXPECT_THAT(buckets_of(none, 0, 9), ElementsAre(0, 0, 0, 1, 1, 1, 1, 2, 2));
}

TEST(BucketRuns, RunsAreInAnotherOrderInEveryEpoch) {
  BucketRuns::Config config{.samples = {400, 400}, .run = 4, .seed = 5, .epoch = 0};
  const auto first = buckets_of(places(config), 0, 800);
  config.epoch = 1;
  const auto second = buckets_of(places(config), 0, 800);
  EXPECT_NE(first, second);
  int64_t changes = 0;
  for (size_t i = 4; i < first.size(); i += 4) changes += first[i] != first[i - 4];
  EXPECT_NEAR(double(changes), 100, 40);  // of 199 neighbours half, 5 deviations
}

}  // namespace
}  // namespace pixart::data
