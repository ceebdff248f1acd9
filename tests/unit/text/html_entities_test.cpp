#include "html_entities.h"

#include <gtest/gtest.h>

namespace pixart::text {
namespace {

TEST(HtmlEntities, Table) {
  ASSERT_NE(find_html_entity("eacute"), nullptr);
  EXPECT_EQ(find_html_entity("eacute")->text, "é");
  EXPECT_TRUE(find_html_entity("eacute")->legacy);
  EXPECT_FALSE(find_html_entity("hellip")->legacy);
  EXPECT_EQ(find_html_entity("NotEqualTilde")->text, "\u2242\u0338");
  EXPECT_EQ(find_html_entity("zwnj")->text, "\u200c");
  EXPECT_EQ(find_html_entity("nothing"), nullptr);
  EXPECT_EQ(find_html_entity(""), nullptr);
}

TEST(HtmlEntities, UnescapeAsPython) {
  EXPECT_EQ(unescape_html("fish &amp; chips &ampx &notit; &hellip &hellip;"),
            "fish & chips &x ¬it; &hellip …");
  EXPECT_EQ(unescape_html("&#65;&#x42;&#67 &#150; &#0; &#xd800; &#x110000; &#99999999999999999999;"),
            "ABC – \uFFFD \uFFFD \uFFFD \uFFFD");
  EXPECT_EQ(unescape_html("a&#1;b&#xfffe;c&#127;"), "abc");
  EXPECT_EQ(unescape_html("& &; &# &#x; &unknown; &a"), "& &; &# &#x; &unknown; &a");
}

TEST(HtmlEntities, StrictNeedsTheSemicolonAndKnowsCapitals) {
  EXPECT_EQ(unescape_html_strictly("this&not that &eacute; &EACUTE; &SZLIG; &nTILDE; &#65; &#12ab;"),
            "this&not that é É SS &nTILDE; A &#12ab;");
}

TEST(HtmlEntities, NumericReferenceAsBeautifulSoup) {
  EXPECT_EQ(numeric_reference("150"), "–");
  EXPECT_EQ(numeric_reference("x81"), "\u0081");
  EXPECT_EQ(numeric_reference("1"), "\x01");
  EXPECT_EQ(numeric_reference("xDC00"), "\uFFFD");
}

}  // namespace
}  // namespace pixart::text
