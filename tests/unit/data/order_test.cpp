#include "pixart/data/order.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "pixart/base/error.h"
#include "pixart/base/random.h"

namespace pixart::data {
namespace {

using ::testing::Each;
using ::testing::ElementsAreArray;

std::vector<int64_t> first_rows(const SampleOrder& order, int64_t first, int64_t count) {
  std::vector<int64_t> rows;
  for (int64_t i = first; i < first + count; ++i) rows.push_back(order.row(i));
  return rows;
}

std::vector<int64_t> counting(int64_t n) {
  std::vector<int64_t> all(static_cast<size_t>(n));
  std::iota(all.begin(), all.end(), 0);
  return all;
}

std::vector<int64_t> sorted(std::vector<int64_t> rows) {
  std::sort(rows.begin(), rows.end());
  return rows;
}

// What holds for each version.
class Order : public ::testing::TestWithParam<OrderVersion> {
 protected:
  static SampleOrder order_of(uint64_t seed, std::vector<OrderPart> parts, OrderBuckets buckets = {},
                              std::shared_ptr<const ExcludedRows> excluded = nullptr) {
    return SampleOrder(seed, std::move(parts), std::move(buckets), std::move(excluded), GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, Order, ::testing::Values(OrderVersion::kListed, OrderVersion::kComputed),
                         [](const auto& version) { return std::to_string(int(version.param)); });

TEST_P(Order, EveryEpochHoldsEveryRowOnceInAnotherOrder) {
  const auto order = order_of(7, {{.rows = 1000}});
  const auto first = first_rows(order, 0, 1000), second = first_rows(order, 1000, 1000);
  EXPECT_EQ(sorted(first), counting(1000));
  EXPECT_EQ(sorted(second), counting(1000));
  EXPECT_NE(first, second);
  EXPECT_EQ(first_rows(order_of(7, {{.rows = 1000}}), 1000, 1000), second);  // asked without the first
  EXPECT_NE(first_rows(order_of(8, {{.rows = 1000}}), 0, 1000), first);
  EXPECT_EQ(order.row(250000), order_of(7, {{.rows = 1000}}).row(250000));  // no replay
}

// A draw that finds one of few good rows takes as many attempts as there are bad rows for each.
TEST_P(Order, AFewGoodRowsAreFoundAmongManyBadOnes) {
  constexpr int64_t kRows = 400000, kPlaces = 100000;
  const std::vector<int64_t> good = {0, 1000, 1001, 250000, kRows - 1};
  std::vector<int64_t> rejected = counting(kRows);
  std::erase_if(rejected, [&](int64_t row) { return std::binary_search(good.begin(), good.end(), row); });
  const auto order = order_of(3, {{.rows = kRows, .rejected = rejected}});
  std::map<int64_t, int64_t> counts;
  for (const int64_t row : first_rows(order, 0, kPlaces)) ++counts[row];
  ASSERT_EQ(counts.size(), good.size());
  for (const int64_t row : good) EXPECT_NEAR(double(counts[row]), kPlaces / 5.0, 1000) << row;  // 8 sigma
}

TEST_P(Order, RejectedRowsAreReplacedAndTheRestStays) {
  const std::vector<int64_t> rejected = {3, 4, 500, 999};
  const auto whole = order_of(1, {{.rows = 1000}}),
             spoiled = order_of(1, {{.rows = 1000, .rejected = rejected}});
  int replaced = 0;
  for (int64_t i = 0; i < 3000; ++i) {
    if (std::binary_search(rejected.begin(), rejected.end(), whole.row(i))) {
      ++replaced;
      EXPECT_FALSE(std::binary_search(rejected.begin(), rejected.end(), spoiled.row(i)));
    } else {
      EXPECT_EQ(spoiled.row(i), whole.row(i));
    }
  }
  EXPECT_EQ(replaced, 12);
}

TEST_P(Order, OnlyOneAcceptedRowStandsInForAll) {
  auto rejected = counting(100);
  rejected.erase(rejected.begin() + 42);
  const auto order = order_of(1, {{.rows = 100, .rejected = rejected}});
  EXPECT_THAT(first_rows(order, 0, 100), Each(42));
  EXPECT_THROW(order_of(1, {{.rows = 100, .rejected = counting(100)}}), InternalError);
}

std::vector<uint8_t> mixed_buckets(int64_t rows, uint64_t kinds) {
  std::vector<uint8_t> result;
  for (int64_t i = 0; i < rows; ++i)
    result.push_back(uint8_t(uniform_below({3, uint64_t(i), Purpose::kTest}, kinds)));
  return result;
}

std::shared_ptr<ExcludedRows> excluded_rows(const std::map<int64_t, int64_t>& from) {
  const auto result = std::make_shared<ExcludedRows>();
  for (const auto& [row, position] : from) result->add(row, position);
  return result;
}

// Whether a row is known to be bad from the start or found later: only the places where it would be used change.
TEST_P(Order, ExcludedRowsAreReplacedFromTheirPositionOn) {
  const std::vector<OrderPart> parts = {{.rows = 100, .rejected = {3}}, {.rows = 60, .passes = 2}};
  const auto bucket_of = mixed_buckets(160, 3);
  for (const auto& buckets : {OrderBuckets{}, OrderBuckets{.bucket_of = bucket_of, .run = 8}}) {
    const auto whole = order_of(1, parts, buckets);
    const auto excluded = excluded_rows({{7, 0}, {120, 500}});
    const auto order = order_of(1, parts, buckets, excluded);
    int replaced = 0;
    for (int64_t i = 0; i < 1000; ++i) {
      const int64_t planned = whole.row(i), row = order.row(i);
      if (planned != 7 && (planned != 120 || i < 500)) {
        EXPECT_EQ(row, planned) << i;
        continue;
      }
      ++replaced;
      EXPECT_NE(row, planned);
      EXPECT_NE(row, 3);
      EXPECT_EQ(row < 100, planned < 100) << "of another source";
      EXPECT_EQ(order.bucket(row), order.bucket(planned));
    }
    EXPECT_GT(replaced, 5);
    // A further row changes only its own places, those where it is a substitute among them.
    int64_t substitute = -1;
    for (int64_t i = 0; i < 1000; ++i)
      if (whole.row(i) == 7) substitute = order.row(i);
    const auto before = first_rows(order, 0, 1000);
    excluded->add(substitute, 300);
    for (int64_t i = 0; i < 1000; ++i)
      EXPECT_EQ(order.row(i) == before[size_t(i)], before[size_t(i)] != substitute || i < 300) << i;
  }
}

TEST_P(Order, TheLastRowsStandInUntilNoneIsLeft) {
  const auto excluded = std::make_shared<ExcludedRows>();
  const auto order = order_of(1, {{.rows = 1000}}, {}, excluded);
  for (int64_t row = 0; row < 1000; ++row)
    if (row != 42) excluded->add(row, 0);
  EXPECT_THAT(first_rows(order, 0, 1000), Each(42));
  excluded->add(42, 10);
  excluded->add(42, 900);  // the first position counts
  EXPECT_EQ(order.row(9), 42);
  try {
    order.row(10);
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kNumerics);
  }
}

TEST_P(Order, PartsAreMixedByPasses) {
  const auto order = order_of(5, {{.rows = 100}, {.rows = 40, .passes = 0.25}, {.rows = 10, .passes = 3}});
  ASSERT_EQ(order.epoch_size(), 140);
  EXPECT_EQ(order.num_rows(), 150);
  std::map<int64_t, int> seen;
  for (int epoch = 0; epoch < 4; ++epoch) {
    std::map<int64_t, int> counts;
    for (const int64_t row : first_rows(order, epoch * 140, 140)) ++counts[row], ++seen[row];
    for (int64_t row = 0; row < 100; ++row) EXPECT_EQ(counts[row], 1);
    for (int64_t row = 140; row < 150; ++row) EXPECT_EQ(counts[row], 3);
  }
  for (int64_t row = 100; row < 140; ++row) EXPECT_EQ(seen[row], 1);  // four quarters
  const auto first = first_rows(order, 0, 140);
  EXPECT_FALSE(std::is_sorted(first.begin(), first.end(), [](auto a, auto b) { return a / 100 < b / 100; }));
}

TEST_P(Order, BucketsLoseNothingAndFillWholeBatches) {
  constexpr int64_t kRows = 1003, kBatch = 16, kEpochs = 5;
  const auto bucket_of = mixed_buckets(kRows, 7);
  const auto order = order_of(9, {{.rows = kRows}}, {.bucket_of = bucket_of, .run = kBatch});
  for (int64_t epoch = 0; epoch < kEpochs; ++epoch)
    EXPECT_EQ(sorted(first_rows(order, epoch * kRows, kRows)), counting(kRows));
  int64_t mixed = 0, samples = 0;
  const int64_t steps = kEpochs * kRows / kBatch;
  for (int64_t step = 0; step < steps; ++step) {
    const auto batches = plan_step(order, {.batch_size = kBatch}, step);
    mixed += batches.size() > 1;
    double share = 0;
    for (const auto& batch : batches) {
      for (const int64_t row : batch.rows) EXPECT_EQ(bucket_of[size_t(row)], batch.bucket);
      samples += int64_t(batch.rows.size());
      share += batch.share;
    }
    EXPECT_DOUBLE_EQ(share, 1);
  }
  EXPECT_EQ(samples, steps * kBatch);
  EXPECT_LE(mixed, kEpochs * 7);  // at an epoch's end only: what seven queues have left over
}

struct Seen {
  std::vector<int64_t> positions, rows;
};

// What all ranks together see of some steps, in order of place.
Seen seen_by_all(const SampleOrder& order, int64_t batch, int64_t micro, int64_t ranks, int64_t first,
                 int64_t last) {
  std::map<int64_t, int64_t> at;
  for (int64_t step = first; step < last; ++step)
    for (int64_t rank = 0; rank < ranks; ++rank)
      for (const auto& part : plan_step(
               order, {.batch_size = batch, .micro_batch_size = micro, .rank = rank, .world_size = ranks},
               step))
        for (size_t i = 0; i < part.rows.size(); ++i)
          EXPECT_TRUE(at.emplace(part.positions[i], part.rows[i]).second) << "twice";
  Seen result;
  for (const auto& [position, row] : at) result.positions.push_back(position), result.rows.push_back(row);
  return result;
}

// 100,000 samples: the same for any number of ranks and from any step on, with and without buckets.
TEST_P(Order, IsTheSameForEveryWorldSizeAndAfterResuming) {
  constexpr int64_t kRows = 100000, kBatch = 96, kSteps = kRows / kBatch;
  for (const auto& bucket_of : {std::vector<uint8_t>(), mixed_buckets(kRows, 40)}) {
    const OrderBuckets buckets{.bucket_of = bucket_of, .run = bucket_of.empty() ? 1 : kBatch};
    const std::vector<OrderPart> parts = {{.rows = kRows, .rejected = {5, 77, 4000}}};
    const auto order = order_of(11, parts, buckets);
    const Seen whole = seen_by_all(order, kBatch, 0, 1, 0, kSteps);
    EXPECT_EQ(whole.positions, counting(kSteps * kBatch));
    for (const int64_t ranks : {2, 7})
      EXPECT_EQ(seen_by_all(order, kBatch, 5, ranks, 0, kSteps).rows, whole.rows) << ranks << " ranks";
    for (uint64_t i = 0; i < 20; ++i) {
      const int64_t step = int64_t(uniform_below({2, i, Purpose::kTest}, kSteps - 3));
      const auto resumed = order_of(11, parts, buckets);
      const Seen some = seen_by_all(resumed, kBatch, 0, 4, step, step + 3);
      const auto begin = whole.rows.begin() + step * kBatch;
      EXPECT_THAT(some.rows, ElementsAreArray(begin, begin + 3 * kBatch)) << "from step " << step;
    }
  }
}

TEST_P(Order, MicroBatchesAreNoLargerThanAsked) {
  const auto order = order_of(1, {{.rows = 50}});
  const auto batches =
      plan_step(order, {.batch_size = 10, .micro_batch_size = 4, .rank = 1, .world_size = 2}, 3);
  ASSERT_EQ(batches.size(), 2);
  EXPECT_EQ(batches[0].positions, (std::vector<int64_t>{35, 36, 37, 38}));
  EXPECT_EQ(batches[1].positions, (std::vector<int64_t>{39}));
  EXPECT_EQ(batches[1].micro_step, 1);
  EXPECT_DOUBLE_EQ(batches[0].share, 0.4);
}

// Two resolutions, of which the larger one has smaller micro-batches: each sample of a step once, on every number of
// ranks, with shares that add up.
TEST_P(Order, EachBucketHasItsOwnMicroBatches) {
  constexpr int64_t kRows = 1000, kBatch = 24;
  const auto order = order_of(5, {{.rows = kRows}}, {.bucket_of = mixed_buckets(kRows, 2), .run = kBatch});
  std::vector<int64_t> sizes[2];
  for (const int64_t ranks : {1, 2, 5}) {
    for (int64_t step = 0; step < 2 * kRows / kBatch; ++step) {
      std::vector<int64_t> positions;
      double share = 0;
      for (int64_t rank = 0; rank < ranks; ++rank)
        for (const auto& batch : plan_step(order,
                                           {.batch_size = kBatch,
                                           .micro_batch_size = 1,  // of stages with one bucket
                                            .micro_batch_sizes = {8, 3},
                                           .rank = rank,
                                           .world_size = ranks},
                                           step)) {
          for (const int64_t row : batch.rows) EXPECT_EQ(order.bucket(row), batch.bucket);
          EXPECT_LE(batch.rows.size(), batch.bucket == 0 ? 8u : 3u);
          sizes[batch.bucket].push_back(int64_t(batch.rows.size()));
          positions.insert(positions.end(), batch.positions.begin(), batch.positions.end());
          share += batch.share;
        }
      std::sort(positions.begin(), positions.end());
      ASSERT_EQ(int64_t(positions.size()), kBatch);
      for (int64_t i = 0; i < kBatch; ++i) EXPECT_EQ(positions[size_t(i)], step * kBatch + i);
      EXPECT_NEAR(share, 1, 1e-12);
    }
  }
  EXPECT_EQ(*std::max_element(sizes[0].begin(), sizes[0].end()), 8);
  EXPECT_EQ(*std::max_element(sizes[1].begin(), sizes[1].end()), 3);
  const auto whole = plan_step(order, {.batch_size = kBatch, .micro_batch_sizes = {0, 0}}, 0);
  EXPECT_EQ(whole.size(), 1) << "0: no limit";
}

TEST_P(Order, TheLastMicroBatchIsMarked) {
  const auto order = order_of(1, {{.rows = 50}});
  for (const int64_t micro : {0, 1, 3}) {
    const auto batches = plan_step(order, {.batch_size = 10, .micro_batch_size = micro}, 2);
    for (size_t i = 0; i < batches.size(); ++i) EXPECT_EQ(batches[i].is_last, i + 1 == batches.size());
  }
}

// Places are shared out in order, and each sample is alone, with and without buckets.
TEST_P(Order, OneByOneIsTheSameForEveryNumberOfRanks) {
  for (const auto& bucket_of : {std::vector<uint8_t>(), mixed_buckets(100, 5)}) {
    const auto order = order_of(3, {{.rows = 100}}, {.bucket_of = bucket_of, .run = 8});
    for (const int64_t ranks : {1, 2, 4}) {
      std::vector<int64_t> positions;
      for (int64_t rank = 0; rank < ranks; ++rank) {
        const auto batches = plan_step(
            order,
            {.batch_size = 8, .micro_batch_size = 4, .rank = rank, .world_size = ranks, .one_by_one = true},
            5);
        ASSERT_EQ(int64_t(batches.size()), 8 / ranks);
        for (const auto& batch : batches) {
          ASSERT_EQ(batch.positions.size(), 1);
          positions.push_back(batch.positions[0]);
          EXPECT_EQ(batch.rows[0], order.row(batch.positions[0]));
          EXPECT_EQ(batch.bucket, order.bucket(batch.rows[0]));
          EXPECT_DOUBLE_EQ(batch.share, 0.125);
        }
      }
      EXPECT_THAT(positions, ElementsAreArray({40, 41, 42, 43, 44, 45, 46, 47}));
    }
  }
}

}  // namespace
}  // namespace pixart::data
