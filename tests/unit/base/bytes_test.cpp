#include "pixart/base/bytes.h"

#include <gtest/gtest.h>

namespace pixart {
namespace {

TEST(Bytes, HoldNumbersInEitherOrder) {
  constexpr std::string_view kBytes("\0\x81\x02\xFF\x04", 5);
  EXPECT_EQ(from_big_endian(kBytes, 1, 3), 0x8102FFu);
  EXPECT_EQ(from_little_endian(kBytes, 1, 3), 0xFF0281u);
  EXPECT_EQ(from_big_endian(std::string(8, '\xFF'), 0, 8), UINT64_MAX);
}

TEST(Bytes, OfANumberAreItsLowOnes) {
  EXPECT_EQ(little_endian(0x123456, 2), "\x56\x34");
  EXPECT_EQ(little_endian(1, 10), std::string("\1\0\0\0\0\0\0\0\0\0", 10));
}

}  // namespace
}  // namespace pixart
