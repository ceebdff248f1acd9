#include "unicode.h"

#include <gtest/gtest.h>

namespace pixart::text {
namespace {

TEST(Unicode, CodePointsThereAndBack) {
  for (const char32_t c :
       {U'a', U'\x7f', U'\x80', U'\u07ff', U'\u0800', U'\uffff', U'\U00010000', U'\U0010ffff'}) {
    std::string text;
    append_utf8(text, c);
    size_t at = 0;
    EXPECT_EQ(next_code_point(text, at), c);
    EXPECT_EQ(at, text.size());
    EXPECT_TRUE(is_utf8(text));
  }
}

TEST(Unicode, StripTakesEverySpaceOfPython) {
  EXPECT_EQ(strip("\u3000\u00a0\x1c\u2028 a \u0085b\t\u2003"), "a \u0085b");
  EXPECT_EQ(strip("\u200b"), "\u200b");  // no space in Python
  EXPECT_EQ(strip(" \u3000"), "");
  EXPECT_EQ(strip_left(" a "), "a ");
  EXPECT_EQ(strip_right(" a "), " a");
}

TEST(Unicode, LowerKnowsFinalSigmaAndDottedI) {
  EXPECT_EQ(lower("ÀÉ ẞ Ж"), "àé ß ж");
  EXPECT_EQ(lower("ΟΔΟΣ ΣΑΣ Σ"), "οδος σας σ");
  EXPECT_EQ(lower("ΑΣ'Β ΑΣ'"), "ασ'β ας'");  // an apostrophe does not end the word
  EXPECT_EQ(lower("\u0130"), "i\u0307");
}

TEST(Unicode, NormalizesAndSurvivesManyMarks) {
  EXPECT_EQ(nfc("e\u0301"), "\u00e9");
  EXPECT_EQ(nfkc("ﬁ"), "fi");
  EXPECT_EQ(nfc(std::string("a\0b", 3)), std::string("a\0b", 3));
  std::string marks = "e";
  for (int i = 0; i < 50'000; ++i) marks += "\u0315\u0300\u0327";
  EXPECT_EQ(nfc(marks).size(), marks.size() - 1);  // ends in bounded time; e and one mark join
}

}  // namespace
}  // namespace pixart::text
