#include "pixart/formats/utf8.h"

#include <gtest/gtest.h>

namespace pixart::formats {
namespace {

TEST(Utf8, AcceptsEveryLength) {
  EXPECT_TRUE(is_utf8(""));
  EXPECT_TRUE(is_utf8("a\u00e9\u4e16\U0001F600"));
  EXPECT_EQ(utf8_sequence("\U0001F600", 0), 4u);
  EXPECT_EQ(utf8_sequence("a", 1), 0u);  // beyond the end
}

TEST(Utf8, RefusesWhatOnlyLooksLikeIt) {
  EXPECT_FALSE(is_utf8("\xff"));
  EXPECT_FALSE(is_utf8("\x80"));              // continuation first
  EXPECT_FALSE(is_utf8("\xc0\xaf"));          // overlong '/'
  EXPECT_FALSE(is_utf8("\xe0\x80\xaf"));      // overlong in three
  EXPECT_FALSE(is_utf8("\xf0\x80\x80\xaf"));  // overlong in four
  EXPECT_FALSE(is_utf8("\xed\xa0\x80"));      // surrogate
  EXPECT_FALSE(is_utf8("\xf4\x90\x80\x80"));  // beyond U+10FFFF
  EXPECT_FALSE(is_utf8("\xe4\xb8"));          // cut off
}

}  // namespace
}  // namespace pixart::formats
