#include "pixart/base/clock.h"

#include <gtest/gtest.h>

#include <ctime>

namespace pixart {
namespace {

TEST(UnixSeconds, AreThoseOfTheSystem) {
  const std::time_t before = std::time(nullptr);
  const double now = unix_seconds();
  // time() may lag a clock tick behind; a unit other than seconds would be far off.
  EXPECT_GE(now, double(before) - 1);
  EXPECT_LE(now, double(std::time(nullptr)) + 2);
}

}  // namespace
}  // namespace pixart
