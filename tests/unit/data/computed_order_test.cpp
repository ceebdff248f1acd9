// What the second version of the order promises beyond the first; order_test.cpp has what holds for both.
#include "computed_order.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "pixart/base/random.h"
#include "pixart/data/order.h"

namespace pixart::data {
namespace {

SampleOrder order_of(uint64_t seed, std::vector<OrderPart> parts, OrderBuckets buckets = {}) {
  return SampleOrder(seed, std::move(parts), std::move(buckets), nullptr, OrderVersion::kComputed);
}

std::vector<int64_t> rows_of(const SampleOrder& order, int64_t first, int64_t count) {
  std::vector<int64_t> rows;
  for (int64_t i = first; i < first + count; ++i) rows.push_back(order.row(i));
  return rows;
}

std::vector<uint8_t> random_buckets(int64_t rows, uint64_t kinds) {
  std::vector<uint8_t> result;
  for (int64_t i = 0; i < rows; ++i)
    result.push_back(uint8_t(uniform_below({3, uint64_t(i), Purpose::kTest}, kinds)));
  return result;
}

std::vector<double> some_weights(int64_t rows) {
  std::vector<double> result;
  for (int64_t i = 0; i < rows; ++i) result.push_back(double(i % 5));
  return result;
}

std::map<int64_t, int64_t> counts_of(const std::vector<int64_t>& rows) {
  std::map<int64_t, int64_t> counts;
  for (const int64_t row : rows) ++counts[row];
  return counts;
}

uint64_t hash_of(const SampleOrder& order) {
  uint64_t hash = 14695981039346656037u;
  for (const int64_t row : rows_of(order, 0, 3 * order.epoch_size() + 7))
    hash = (hash ^ uint64_t(row)) * 1099511628211u;
  return hash;
}

// Runs keep their version for ever: these sums never change.
TEST(ComputedOrder, BothVersionsAreAsRecorded) {
  const std::vector<OrderPart> plain = {{.rows = 500, .rejected = {3, 77, 499}}};
  const std::vector<OrderPart> mixed = {
      {.rows = 300, .passes = 0.7, .rejected = {8}},
      {.rows = 40, .passes = 2.5},
      {.rows = 90, .drawn = std::make_shared<const DrawnRows>(drawn_rows(some_weights(90)))}};
  const auto excluded = std::make_shared<ExcludedRows>();
  excluded->add(12, 0);
  excluded->add(200, 400);
  const auto hashes = [&](const std::vector<OrderPart>& parts, const OrderBuckets& buckets) {
    std::vector<uint64_t> result;
    for (const auto version : {OrderVersion::kListed, OrderVersion::kComputed})
      result.push_back(hash_of(SampleOrder(21, parts, buckets, excluded, version)));
    return result;
  };
  const OrderBuckets four{.bucket_of = random_buckets(500, 4), .run = 16};
  const OrderBuckets four_mixed{.bucket_of = random_buckets(430, 4), .run = 16};
  using ::testing::ElementsAre;
  EXPECT_THAT(hashes(plain, {}), ElementsAre(0x510ad0140d98ecefu, 0x6eb95bc2d6aee8d5u));
  EXPECT_THAT(hashes(plain, four), ElementsAre(0xc4aaae09ee8ab460u, 0xd47e1d1fc4120562u));
  EXPECT_THAT(hashes(mixed, {}), ElementsAre(0xc40d76f982d772fau, 0xd821a73e34a93b54u));
  EXPECT_THAT(hashes(mixed, four_mixed), ElementsAre(0x3814b9dd5590589bu, 0x381a65bd64711254u));
}

// A large order at 100 places of epochs far apart, each asked of an order that has been asked nothing else.
TEST(ComputedOrder, EveryPlaceIsFoundWithoutTheOnesBefore) {
  constexpr int64_t kRows = 20000, kBatch = 96;
  const std::vector<OrderPart> parts = {{.rows = kRows - 500}, {.rows = 500, .passes = 0.3}};
  const OrderBuckets buckets{.bucket_of = random_buckets(kRows, 40), .run = kBatch};
  const auto order = order_of(11, parts, buckets);
  for (uint64_t i = 0; i < 100; ++i) {
    const int64_t step = int64_t(uniform_below({2, i, Purpose::kTest}, 1'000'000));
    const auto resumed = order_of(11, parts, buckets);
    const auto rows = rows_of(resumed, step * kBatch, kBatch);
    EXPECT_EQ(rows, rows_of(order, step * kBatch, kBatch)) << "step " << step;
    int64_t changes = 0;
    for (size_t k = 1; k < rows.size(); ++k) changes += order.bucket(rows[k]) != order.bucket(rows[k - 1]);
    EXPECT_LE(changes, 40);
  }
}

// Two epochs share no more places than chance gives them, and no place prefers some rows.
TEST(ComputedOrder, EpochsAreIndependent) {
  constexpr int64_t kRows = 1000, kEpochs = 300;
  for (const auto& bucket_of : {std::vector<uint8_t>(), random_buckets(kRows, 3)}) {
    const auto order = order_of(4, {{.rows = kRows}}, {.bucket_of = bucket_of, .run = 8});
    int64_t same = 0;
    std::vector<int64_t> cells(100);  // a tenth of the places, a tenth of the rows
    for (int64_t epoch = 0; epoch < kEpochs; ++epoch)
      for (int64_t place = 0; place < kRows; place += 7) {
        const int64_t row = order.row(epoch * kRows + place);
        same += row == order.row((epoch + 1) * kRows + place);
        ++cells[size_t(place / 100 * 10 + row / 100)];
      }
    const double samples = double(kEpochs) * 143;
    EXPECT_NEAR(double(same), samples / 1000, 5 * std::sqrt(samples / 1000));
    double chi_square = 0;
    for (size_t i = 0; i < 100; ++i) {
      const double expected = double(kEpochs) * double((i / 10 + 1) * 100 / 7 - i / 10 * 100 / 7) / 10;
      chi_square += (double(cells[i]) - expected) * (double(cells[i]) - expected) / expected;
    }
    EXPECT_LT(chi_square, 99 + 6 * std::sqrt(2 * 99.0));
  }
}

// Four quarters of a source are the source, in buckets of one row too.
TEST(ComputedOrder, PartsOfPassesInBucketsMakeWholePasses) {
  std::vector<uint8_t> bucket_of = random_buckets(140, 3);
  for (uint8_t i = 0; i < 20; ++i) bucket_of[size_t(100 + i)] = uint8_t(10 + i);
  const auto order =
      order_of(5, {{.rows = 100}, {.rows = 40, .passes = 0.25}}, {.bucket_of = bucket_of, .run = 8});
  ASSERT_EQ(order.epoch_size(), 110);
  for (int64_t pass = 0; pass < 3; ++pass) {
    const auto counts = counts_of(rows_of(order, pass * 440, 440));
    for (int64_t row = 0; row < 140; ++row) EXPECT_EQ(counts.at(row), row < 100 ? 4 : 1) << row;
  }
}

// Where the bucket of a rejected row is known, the others keep their places. Version 1 does not promise this.
TEST(ComputedOrder, ARejectionInABucketChangesOnlyItsPlaces) {
  const auto bucket_of = random_buckets(200, 3);
  const OrderBuckets buckets{.bucket_of = bucket_of, .run = 8};
  const std::vector<int64_t> rejected = {5, 17, 120};
  const auto whole = order_of(2, {{.rows = 150}, {.rows = 50}}, buckets),
             spoiled = order_of(2, {{.rows = 150, .rejected = rejected}, {.rows = 50}}, buckets);
  int64_t replaced = 0;
  for (int64_t i = 0; i < 1000; ++i) {
    const int64_t was = whole.row(i), is = spoiled.row(i);
    if (!std::binary_search(rejected.begin(), rejected.end(), was)) {
      EXPECT_EQ(is, was);
      continue;
    }
    ++replaced;
    EXPECT_FALSE(std::binary_search(rejected.begin(), rejected.end(), is));
    EXPECT_LT(is, 150) << "of another source";
    EXPECT_EQ(bucket_of[size_t(is)], bucket_of[size_t(was)]);
  }
  EXPECT_EQ(replaced, 15);
}

TEST(ComputedOrder, RejectedRowsWithoutABucketAreReplacedInTheBucketsOfOthers) {
  auto bucket_of = random_buckets(400, 4);
  std::vector<int64_t> rejected;
  for (int64_t row = 0; row < 400; row += 10)
    rejected.push_back(row), bucket_of[size_t(row)] = kUnknownBucket;
  const auto order = order_of(2, {{.rows = 400, .rejected = rejected}}, {.bucket_of = bucket_of, .run = 16});
  ASSERT_EQ(order.epoch_size(), 400);
  std::map<uint8_t, int64_t> stand_ins;
  for (int64_t epoch = 0; epoch < 5; ++epoch) {
    const auto counts = counts_of(rows_of(order, epoch * 400, 400));
    for (int64_t row = 0; row < 400; ++row) {
      const auto found = counts.find(row);
      if (row % 10 == 0) {
        EXPECT_EQ(found, counts.end());
        continue;
      }
      ASSERT_NE(found, counts.end()) << row;
      stand_ins[bucket_of[size_t(row)]] += found->second - 1;
    }
  }
  EXPECT_EQ(stand_ins.size(), 4u);
  for (const auto& [bucket, count] : stand_ins) EXPECT_TRUE(count >= 15 && count <= 100) << count;
}

// Weights and buckets together: every epoch has its size, and each row its share.
TEST(ComputedOrder, WeightedRowsInBucketsComeAsOftenAsTheirWeightsSay) {
  constexpr int64_t kRows = 60, kEpochs = 400;
  const auto weights = some_weights(kRows);
  const auto bucket_of = random_buckets(kRows, 4);
  for (const double passes : {1.0, 0.37}) {
    const auto order = order_of(
        8,
        {{.rows = kRows, .passes = passes, .drawn = std::make_shared<const DrawnRows>(drawn_rows(weights))}},
        {.bucket_of = bucket_of, .run = 6});
    const int64_t size = order.epoch_size();
    EXPECT_EQ(size, std::llround(passes * 48));
    const auto counts = counts_of(rows_of(order, 0, kEpochs * size));
    for (int64_t row = 0; row < kRows; ++row) {
      const double expected = weights[size_t(row)] / 120 * double(kEpochs * size);  // of the sum of weights
      const auto found = counts.find(row);
      const double count = found == counts.end() ? 0 : double(found->second);
      EXPECT_NEAR(count, expected, 5 * std::sqrt(expected) + 1e-9) << row;
    }
  }
}

// The last batch of an epoch is filled up with samples of one bucket, where one has enough.
TEST(ComputedOrder, ABatchThatTwoEpochsShareHasOneBucketOfTheSecond) {
  constexpr int64_t kRows = 1003, kBatch = 16;
  const auto bucket_of = random_buckets(kRows, 3);
  const auto order = order_of(6, {{.rows = kRows}}, {.bucket_of = bucket_of, .run = kBatch});
  for (int64_t epoch = 1; epoch < 12; ++epoch) {
    const int64_t first = epoch * kRows, end = (first + kBatch - 1) / kBatch * kBatch;
    std::set<uint8_t> buckets;
    for (int64_t i = first; i < end; ++i) buckets.insert(order.bucket(order.row(i)));
    EXPECT_LE(buckets.size(), 1u) << "epoch " << epoch;
    std::set<uint8_t> next;
    for (int64_t i = end; i < end + kBatch; ++i) next.insert(order.bucket(order.row(i)));
    EXPECT_EQ(next.size(), 1u);
  }
}

}  // namespace
}  // namespace pixart::data
