#include "grouped_rows.h"

#include <gmock/gmock.h>

#include <set>

#include "pixart/base/error.h"

namespace pixart::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const RandomKey kPass{.seed = 1, .stream = 0, .purpose = Purpose::kWeightedPass};

// The rows of the slots from which the samples of a bucket come.
std::vector<int64_t> rows_in(const GroupedRows& rows, size_t bucket) {
  std::vector<int64_t> result;
  for (int64_t i = rows.first_sample(bucket, kPass); i < rows.first_sample(bucket + 1, kPass); ++i)
    result.push_back(rows.row(rows.slot_of_sample(i, kPass)));
  return result;
}

TEST(GroupedRows, WithoutBucketsASlotIsARow) {
  const GroupedRows rows({.rows = 5}, {});
  EXPECT_THAT(rows_in(rows, 0), ElementsAre(0, 1, 2, 3, 4));
  EXPECT_THAT(rows.samples_of_pass(kPass), ElementsAre(5));
}

TEST(GroupedRows, RowsOfABucketLieTogether) {
  const std::vector<uint8_t> bucket_of = {2, 0, 2, 1, 0};
  const GroupedRows rows({.rows = 5}, bucket_of);
  EXPECT_THAT(rows_in(rows, 0), ElementsAre(1, 4));
  EXPECT_THAT(rows_in(rows, 1), ElementsAre(3));
  EXPECT_THAT(rows_in(rows, 2), ElementsAre(0, 2));
}

// Row 1 keeps its bucket. Those of rows 3 and 5 are not known, and nobody could replace row 6 in bucket 7.
TEST(GroupedRows, RejectedRowsCountWhereOthersCanReplaceThem) {
  const std::vector<uint8_t> bucket_of = {2, 0, 0, kUnknownBucket, 2, kUnknownBucket, 7};
  const GroupedRows rows({.rows = 7, .rejected = {1, 3, 5, 6}}, bucket_of);
  EXPECT_THAT(rows_in(rows, 0), ElementsAre(1, 2, 3));
  EXPECT_THAT(rows_in(rows, 2), ElementsAre(0, 4, 5, 6));
  for (int64_t position = 0; position < 50; ++position) {
    for (int64_t slot = 0; slot < 3; ++slot) EXPECT_EQ(rows.row(rows.accepted(0, slot, 1, position)), 2);
    const int64_t row = rows.row(rows.accepted(2, 5, 1, position));  // of row 5
    EXPECT_TRUE(row == 0 || row == 4) << row;
  }
}

TEST(GroupedRows, RejectedRowsBeforeTheFirstUsedOneCountToIts) {
  const std::vector<uint8_t> bucket_of = {kUnknownBucket, 5, 5};
  const GroupedRows rows({.rows = 3, .rejected = {0}}, bucket_of);
  EXPECT_THAT(rows_in(rows, 5), ElementsAre(0, 1, 2));
}

TEST(GroupedRows, WeightsGoWithTheirRows) {
  const auto drawn = std::make_shared<const DrawnRows>(drawn_rows({0, 4, 2, 0, 1, 1}));
  const std::vector<uint8_t> bucket_of = {1, 1, 0, 0, 1, 0};
  const GroupedRows rows({.rows = 6, .drawn = drawn}, bucket_of);
  std::vector<int64_t> counts(6);
  constexpr int64_t kPasses = 4000;
  for (uint64_t number = 0; number < kPasses; ++number) {
    const RandomKey pass{1, number, Purpose::kWeightedPass};
    const auto samples = rows.samples_of_pass(pass);
    EXPECT_EQ(samples[0] + samples[1], 4);
    for (int64_t i = 0; i < 4; ++i) {
      const int64_t row = rows.row(rows.slot_of_sample(i, pass));
      EXPECT_EQ(bucket_of[size_t(row)], i < samples[0] ? 0 : 1);
      ++counts[size_t(row)];
    }
  }
  EXPECT_EQ(counts[0] + counts[3], 0);
  EXPECT_NEAR(double(counts[1]) / kPasses, 2, 1e-9);  // 4 of 8, of four samples
  EXPECT_NEAR(double(counts[2]) / kPasses, 1, 0.04);
  EXPECT_NEAR(double(counts[4]) / kPasses, 0.5, 0.04);  // 5 deviations
}

TEST(GroupedRows, ReplacementsStayInTheBucket) {
  std::vector<uint8_t> bucket_of;
  for (int i = 0; i < 90; ++i) bucket_of.push_back(uint8_t(i % 3));
  const GroupedRows rows({.rows = 90, .rejected = {4, 7}}, bucket_of);
  std::set<int64_t> seen;
  for (int64_t position = 0; position < 500; ++position) {
    const auto slot = rows.substitute(1, 3, position, [&](int64_t other) { return rows.row(other) == 10; });
    ASSERT_TRUE(slot.has_value());
    seen.insert(rows.row(*slot));
  }
  EXPECT_EQ(seen.size(), 27u);
  for (const int64_t row : seen) EXPECT_TRUE(row % 3 == 1 && row != 4 && row != 7 && row != 10) << row;
  EXPECT_FALSE(rows.substitute(1, 3, 0, [](int64_t) { return true; }).has_value());
}

TEST(GroupedRows, MoreThan32BitsOfRowsAreRefused) {
  const std::vector<uint8_t> bucket_of = {1};
  try {
    GroupedRows({.rows = int64_t{1} << 33}, bucket_of);
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("Split it"));
  }
}

}  // namespace
}  // namespace pixart::data
