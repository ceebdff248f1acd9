// The table of published values, and what counts as equal.
#include "pixart/score/calibrate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace pixart::score {
namespace {

using ::testing::HasSubstr;

CalibratedValue value_of(double published, double tolerance, double here) {
  return {.wanted = {.name = "cmmd", .published = published, .tolerance = tolerance}, .here = here};
}

TEST(Calibration, SaysByHowMuchAValueIsNotEqual) {
  EXPECT_EQ(value_of(7.696, 0.02, 7.801).text(),
            "cmmd is not equal: published 7.696, here 7.801, difference 0.105");
  EXPECT_THAT(value_of(7.696, 0.02, 7.7).text(), HasSubstr("cmmd is equal: published 7.696, here 7.7"));
}

TEST(Calibration, IsNotEqualBeyondTheToleranceOnEitherSide) {
  EXPECT_TRUE(value_of(1, 0.25, 1.25).is_equal());
  EXPECT_TRUE(value_of(1, 0.25, 0.75).is_equal());
  EXPECT_FALSE(value_of(1, 0.25, 1.2501).is_equal());
  EXPECT_FALSE(value_of(1, 0.25, 0.7499).is_equal());
  EXPECT_TRUE(value_of(0, 0, 0).is_equal());
  EXPECT_FALSE(value_of(0, 0, 1e-9).is_equal());
  EXPECT_FALSE(value_of(1, 1e300, std::numeric_limits<double>::quiet_NaN()).is_equal());
}

// Every row says where it was published, with its version, and what it needs.
TEST(Calibration, RowsOfTheTableAreWhole) {
  const auto cases = published_calibration("folder");
  ASSERT_GE(cases.size(), 3u);
  for (const auto& row : cases) {
    SCOPED_TRACE(row.name);
    EXPECT_FALSE(row.source.empty());
    EXPECT_FALSE(row.values.empty());
    EXPECT_FALSE(row.request.images.empty());
    for (const auto& value : row.values) EXPECT_FALSE(value.name.empty());
    for (const auto& file : row.files) {
      EXPECT_EQ(*file.path.begin(), "folder");
      EXPECT_FALSE(file.from.empty()) << file.path;
      EXPECT_TRUE(file.sha256.empty() || file.sha256.size() == 64) << file.path;
      EXPECT_NE(file.sha256.empty(), file.path.has_extension())
          << file.path;  // files have hashes, folders none
    }
  }
}

TEST(Calibration, CountsSkippedAndDifferent) {
  const Calibration result{.cases = {{.name = "a", .missing = {"x is missing"}},
                                     {.name = "b", .values = {value_of(1, 0, 1), value_of(1, 0, 2)}}}};
  EXPECT_EQ(result.num_computed(), 1);
  EXPECT_EQ(result.num_different(), 1);
}

}  // namespace
}  // namespace pixart::score
