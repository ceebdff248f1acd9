#include "fix_text.h"

#include <gtest/gtest.h>

namespace pixart::text {
namespace {

// The expected texts are ftfy 6.3.1's.
TEST(FixText, WronglyDecodedText) {
  EXPECT_EQ(fix_text("caf\u00c3\u00a9 \u00e2\u20ac\u0153x\u00e2\u20ac\u009d"), "café \"x\"");
  EXPECT_EQ(fix_text("\u00f0\u009f\u0090\u00b1"), "🐱");
  EXPECT_EQ(fix_text("voil\u00c3  le travail"), "voilà le travail");
  EXPECT_EQ(fix_text("\u00c3\u0192\u00c2\u00a9"), "é");                       // twice
  EXPECT_EQ(fix_text("猫 it\u00e2\u20ac\u2122s"), "猫 it's");                 // amid other text
  EXPECT_EQ(fix_text("\u00e2\u20ac\u0153x\u00e2\u20ac\ufffd"), "\"x\ufffd");  // one byte was lost
  EXPECT_EQ(fix_text("\u00ed\u00a0\u00bd\u00ed\u00b8\u008d"), "😍");           // CESU-8
}

TEST(FixText, WhatIsRightStays) {
  for (const char* text : {"señor Ångström", "Ελλάδα Здравствуй 猫 🐱", "£5 © 2020 ½", "à la carte — fine…"})
    EXPECT_EQ(fix_text(text), text);
}

TEST(FixText, QuotesLigaturesWidthControlsAndBreaks) {
  EXPECT_EQ(fix_text("“a” ‘b’ „c‟ ŉ"), "\"a\" 'b' \"c\" 'n");
  EXPECT_EQ(fix_text("ﬁne ﬄ Ĳ"), "fine ffl IJ");
  EXPECT_EQ(fix_text("ＬＯＵＤ　！ ｶﾞ"), "LOUD ! ガ");
  EXPECT_EQ(fix_text("a\r\nb\rc\u2028d\u2029e"), "a\nb\nc\nd\ne");
  EXPECT_EQ(fix_text("\x1b[31mred\x1b[0m\x01\ufeff"), "red");
  EXPECT_EQ(fix_text("e\u0301"), "é");
  EXPECT_EQ(fix_text("a\u0085"), "a…");
}

TEST(FixText, EntitiesUntilRealHtmlShows) {
  EXPECT_EQ(fix_text("a &lt; b &amp c"), "a < b &amp c");
  EXPECT_EQ(fix_text("&eacute;\n<b>\n&eacute;"), "é\n<b>\n&eacute;");
}

TEST(FixText, C1Controls) { EXPECT_EQ(fix_c1_controls("\u0085\u0081"), "…\u0081"); }

}  // namespace
}  // namespace pixart::text
