#include "pixart/base/utf8.h"

#include <gtest/gtest.h>

#include "pixart/base/error.h"

namespace pixart {
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

TEST(Utf8, Utf16IsKnownByItsMark) {
  EXPECT_TRUE(
      is_utf16(std::string_view("\xFF\xFE"
                                "a\0",
                                4)));
  EXPECT_TRUE(is_utf16(std::string_view("\xFE\xFF\0a", 4)));
  for (const char* text : {"", "\xFF",
                           "\xEF\xBB\xBF"
                           "a",
                           "a\xFF\xFE"}) {
    EXPECT_FALSE(is_utf16(text));
    EXPECT_NO_THROW(refuse_utf16(text, "a.txt"));
  }
  EXPECT_THROW(refuse_utf16("\xFF\xFE", "a.txt"), UserError);
}

// ASCII is passed over eight bytes at a time.
TEST(Utf8, FindsWhatIsNotAsciiAtEachPlace) {
  for (size_t at = 0; at < 24; ++at) {
    std::string text(24, 'a');
    EXPECT_TRUE(is_utf8(text) && is_ascii(text));
    text.replace(at, 1, "\u00e9");
    EXPECT_TRUE(is_utf8(text) && !is_ascii(text)) << at;
    text.erase(at + 1, 1);
    EXPECT_FALSE(is_utf8(text) || is_ascii(text)) << at;
  }
}

TEST(Utf8, InvalidBytesBecomeOneReplacementEachLongestPart) {
  EXPECT_EQ(replace_invalid_utf8("caf\xc3\xa9"), "café");
  EXPECT_EQ(replace_invalid_utf8("a\xff"
                                 "b"),
            "a\uFFFDb");
  EXPECT_EQ(replace_invalid_utf8("\xe2\x82"), "\uFFFD");
  EXPECT_EQ(replace_invalid_utf8("\xe2\x82(\xf0\x9f\x90"), "\uFFFD(\uFFFD");
  EXPECT_EQ(replace_invalid_utf8("\xc0\x80"), "\uFFFD\uFFFD");                      // overlong
  EXPECT_EQ(replace_invalid_utf8("\xed\xa0\x80"), "\uFFFD\uFFFD\uFFFD");            // a surrogate
  EXPECT_EQ(replace_invalid_utf8("\xf4\x90\x80\x80"), "\uFFFD\uFFFD\uFFFD\uFFFD");  // above U+10FFFF
}

}  // namespace
}  // namespace pixart
