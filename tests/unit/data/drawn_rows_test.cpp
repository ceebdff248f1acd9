#include "pixart/data/drawn_rows.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>

#include "pixart/base/error.h"
#include "pixart/data/order.h"

namespace pixart::data {
namespace {

using ::testing::ElementsAre;

std::vector<int64_t> pass(const DrawnRows& drawn, uint64_t number) {
  return rows_of_pass(drawn, {7, number, Purpose::kWeightedPass});
}

std::map<int64_t, int64_t> draws_of(const std::vector<int64_t>& rows) {
  std::map<int64_t, int64_t> counts;
  for (const int64_t row : rows) ++counts[row];
  return counts;
}

TEST(DrawnRows, EqualWeightsGiveEveryRowOnce) {
  for (const double weight : {1.0, 0.1, 3e11}) {
    const auto drawn = drawn_rows({weight, 0, weight, weight});
    for (uint64_t number = 0; number < 50; ++number) EXPECT_THAT(pass(drawn, number), ElementsAre(0, 2, 3));
  }
}

// 2, 0, 1, 0.6 and 0.4 of a sum of 4: of four samples a pass.
TEST(DrawnRows, ARowOccursAsOftenAsItsWeightSaysOrOnceMore) {
  const auto drawn = drawn_rows({2, 0, 1, 0.6, 0.4});
  EXPECT_EQ(drawn.per_pass, 4);
  std::map<int64_t, int64_t> total;
  constexpr int64_t kPasses = 20000;
  for (uint64_t number = 0; number < kPasses; ++number) {
    const auto rows = pass(drawn, number);
    ASSERT_EQ(rows.size(), 4u);
    EXPECT_TRUE(std::is_sorted(rows.begin(), rows.end()));
    auto counts = draws_of(rows);
    EXPECT_EQ(counts[0], 2);
    EXPECT_EQ(counts[2], 1);
    EXPECT_EQ(counts[3] + counts[4], 1);
    for (const auto& [row, count] : counts) total[row] += count;
  }
  EXPECT_EQ(total.count(1), 0u);
  EXPECT_NEAR(double(total[3]) / kPasses, 0.6, 0.02);  // 6 deviations
}

TEST(DrawnRows, APassDependsOnItsKeyOnly) {
  std::vector<double> weights;
  for (int64_t i = 0; i < 1000; ++i) weights.push_back(double(i % 17));
  const auto drawn = drawn_rows(weights);
  EXPECT_EQ(pass(drawn, 3), pass(drawn_rows(weights), 3));
  EXPECT_NE(pass(drawn, 3), pass(drawn, 4));
}

TEST(DrawnRows, AnElementOfAPassIsFoundWithoutTheList) {
  std::vector<double> weights;
  for (int64_t i = 0; i < 300; ++i) weights.push_back(double(i * 7 % 13) * 0.3);
  const auto drawn = drawn_rows(weights);
  for (uint64_t number = 0; number < 20; ++number) {
    const RandomKey key{7, number, Purpose::kWeightedPass};
    const auto rows = rows_of_pass(drawn, key);
    for (int64_t i = 0; i < drawn.per_pass; ++i) EXPECT_EQ(row_of_pass(drawn, key, i), rows[size_t(i)]);
    for (int64_t row = 0; row <= 300; ++row)
      EXPECT_EQ(samples_before(drawn, key, row),
                std::lower_bound(rows.begin(), rows.end(), row) - rows.begin());
    EXPECT_THROW(row_of_pass(drawn, key, drawn.per_pass), InternalError);
  }
}

TEST(DrawnRows, EveryPlaceBelongsToARowWithAWeight) {
  const auto drawn = drawn_rows({0, 1, 0, 3, 0});
  std::map<int64_t, int64_t> seen;
  for (uint64_t i = 0; i < 400; ++i) ++seen[drawn.at(i * (drawn.total() / 400))];
  EXPECT_EQ(seen.size(), 2u);
  EXPECT_NEAR(double(seen[1]), 100, 2);
  EXPECT_TRUE(drawn.has(1) && drawn.has(3));
  EXPECT_FALSE(drawn.has(0) || drawn.has(2) || drawn.has(4));
  EXPECT_THROW(drawn.at(drawn.total()), InternalError);
  EXPECT_THROW(drawn_rows({0, 0}), InternalError);
}

std::shared_ptr<const DrawnRows> shared_draw(const std::vector<double>& weights) {
  return std::make_shared<const DrawnRows>(drawn_rows(weights));
}

std::vector<int64_t> order_rows(const SampleOrder& order, int64_t first, int64_t count) {
  std::vector<int64_t> rows;
  for (int64_t i = first; i < first + count; ++i) rows.push_back(order.row(i));
  return rows;
}

// What holds for each version of the order.
class WeightedOrder : public ::testing::TestWithParam<OrderVersion> {
 protected:
  static SampleOrder order_of(uint64_t seed, std::vector<OrderPart> parts,
                              std::shared_ptr<const ExcludedRows> excluded = nullptr) {
    return SampleOrder(seed, std::move(parts), {}, std::move(excluded), GetParam());
  }
};

INSTANTIATE_TEST_SUITE_P(Versions, WeightedOrder,
                         ::testing::Values(OrderVersion::kListed, OrderVersion::kComputed),
                         [](const auto& version) { return std::to_string(int(version.param)); });

TEST_P(WeightedOrder, APartIsAPermutationOfWhatIsKept) {
  const auto order = order_of(5, {{.rows = 6, .drawn = shared_draw({1, 0, 1, 1, 0, 1})}});
  EXPECT_EQ(order.epoch_size(), 4);
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    auto rows = order_rows(order, epoch * 4, 4);
    std::sort(rows.begin(), rows.end());
    EXPECT_THAT(rows, ElementsAre(0, 2, 3, 5));
  }
}

TEST_P(WeightedOrder, SharesFollowWeightsAndAResumeChangesNothing) {
  std::vector<double> weights;
  for (int64_t i = 0; i < 100; ++i) weights.push_back(i < 50 ? 1 : 4);
  const std::vector<OrderPart> parts = {{.rows = 100, .passes = 1.5, .drawn = shared_draw(weights)},
                                        {.rows = 30}};
  const auto order = order_of(9, parts);
  EXPECT_EQ(order.epoch_size(), 180);
  auto counts = draws_of(order_rows(order, 0, 180 * 100));
  int64_t light = 0, heavy = 0, other = 0;
  for (const auto& [row, count] : counts) (row < 50 ? light : row < 100 ? heavy : other) += count;
  EXPECT_NEAR(double(heavy) / double(light), 4, 0.1);
  EXPECT_EQ(other, 3000);
  EXPECT_EQ(order_rows(order_of(9, parts), 12345, 200), order_rows(order, 12345, 200));
  EXPECT_NE(order_rows(order_of(10, parts), 0, 180), order_rows(order, 0, 180));
}

// All ranks together have what one has, in order.
TEST_P(WeightedOrder, DoesNotDependOnRanks) {
  const auto order = order_of(2, {{.rows = 5, .drawn = shared_draw({0.5, 2, 0, 1, 7})}});
  for (int64_t step = 0; step < 30; ++step) {
    std::vector<int64_t> whole, together;
    for (const auto& batch : plan_step(order, {.batch_size = 6}, step))
      whole.insert(whole.end(), batch.rows.begin(), batch.rows.end());
    for (int64_t rank = 0; rank < 3; ++rank)
      for (const auto& batch : plan_step(order, {.batch_size = 6, .rank = rank, .world_size = 3}, step))
        together.insert(together.end(), batch.rows.begin(), batch.rows.end());
    EXPECT_EQ(together, whole);
  }
}

// A row that turns out bad is replaced by weight, and the rest stays.
TEST_P(WeightedOrder, RejectedAndExcludedRowsAreReplacedByRowsWithAWeight) {
  const auto drawn = shared_draw({1, 0, 1, 1, 0, 8});
  const auto whole = order_of(3, {{.rows = 6, .drawn = drawn}});
  const auto excluded = std::make_shared<ExcludedRows>();
  excluded->add(3, 400);
  const auto order = order_of(3, {{.rows = 6, .rejected = {2}, .drawn = drawn}}, excluded);
  std::map<int64_t, int64_t> in_place;
  for (int64_t i = 0; i < 4000; ++i) {
    const int64_t planned = whole.row(i), row = order.row(i);
    if (planned != 2 && (planned != 3 || i < 400)) {
      EXPECT_EQ(row, planned) << i;
      continue;
    }
    EXPECT_TRUE(row == 0 || row == 5 || (row == 3 && i < 400)) << row;
    ++in_place[row];
  }
  EXPECT_GT(in_place[5], 4 * in_place[0]);  // eight times the weight
}

TEST_P(WeightedOrder, WhereNothingThatIsKeptCanBeUsedItSaysSo) {
  const auto order = order_of(3, {{.rows = 3, .rejected = {1}, .drawn = shared_draw({0, 1, 0})}});
  EXPECT_THROW(order.row(0), UserError);
}

}  // namespace
}  // namespace pixart::data
