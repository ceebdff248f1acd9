#include "pixart/base/error.h"

#include <gmock/gmock.h>

namespace pixart {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Error, CheckNamesPlaceConditionAndValues) {
  EXPECT_NO_THROW(PIXART_CHECK(1 + 1 == 2));
  try {
    PIXART_CHECK(2 < 1, "batch of {}", 7);
    FAIL();
  } catch (const InternalError& error) {
    EXPECT_THAT(error.what(),
                AllOf(HasSubstr("error_test.cpp:"), HasSubstr("2 < 1"), HasSubstr("batch of 7")));
  }
}

TEST(Error, CheckDoesNotFormatWhenItHolds) {
  int formatted = 0;
  PIXART_CHECK(true, "{}", ++formatted);
  EXPECT_EQ(formatted, 0);
}

TEST(Error, ProblemsAreReportedTogether) {
  Problems problems;
  EXPECT_NO_THROW(problems.throw_if_any("run.yaml"));
  problems.add("one");
  try {
    problems.throw_if_any("run.yaml");
    FAIL();
  } catch (const UserError& error) {
    EXPECT_STREQ(error.what(), "run.yaml: one");
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
  }
  problems.add("two");
  try {
    problems.throw_if_any("run.yaml", ExitCode::kStorage);
    FAIL();
  } catch (const UserError& error) {
    EXPECT_STREQ(error.what(), "run.yaml: 2 problems\n  - one\n  - two");
    EXPECT_EQ(error.code(), ExitCode::kStorage);
    Problems outer;
    outer.add(error.what());
    outer.add("three");
    try {
      outer.throw_if_any("all");
      FAIL();
    } catch (const UserError& both) {
      EXPECT_STREQ(both.what(), "all: 2 problems\n  - run.yaml: 2 problems\n    - one\n    - two\n  - three");
    }
  }
}

}  // namespace
}  // namespace pixart
