#include "pixart/data/retry_after.h"

#include <gtest/gtest.h>

namespace pixart::data {
namespace {

TEST(RetryAfter, SecondsAndDates) {
  const std::string date = "Sun, 06 Nov 1994 08:49:37 GMT";
  EXPECT_EQ(retry_after_seconds("120", date), 120);
  EXPECT_EQ(retry_after_seconds(" 0\r\n", date), 0);
  EXPECT_EQ(retry_after_seconds("1.5", date), 1.5);
  EXPECT_EQ(retry_after_seconds("Sun, 06 Nov 1994 08:51:37 GMT", date), 120);
  EXPECT_EQ(retry_after_seconds("Sun, 06 Nov 1994 08:49:00 GMT", date), 0);  // in the past
  EXPECT_EQ(retry_after_seconds("Sun, 06 Nov 1994 08:51:37 GMT", ""), 0);    // by this machine's clock
  const auto far = retry_after_seconds("Fri, 01 Jan 2100 00:00:00 GMT", "nonsense");
  EXPECT_TRUE(far && *far > 1e6);
  for (const char* none : {"", "soon", "-1", "1 s", "nan", "inf", "1e999"})
    EXPECT_FALSE(retry_after_seconds(none, date)) << none;
}

}  // namespace
}  // namespace pixart::data
