#include "pcre_regex.h"

#include <gtest/gtest.h>

namespace pixart::text {
namespace {

std::string replaced(const char* pattern, std::string text, const char* replacement) {
  Regex(pattern).replace(text, replacement);
  return text;
}

TEST(Regex, ClassesArePythons) {
  EXPECT_EQ(replaced("\\s",
                     "a\u3000b\x1c"
                     "c\u180e"
                     "d",
                     "_"),
            "a_b_c\u180e"
            "d");
  EXPECT_EQ(replaced("\\d", "1٣²½", "#"), "##²½");
  EXPECT_EQ(replaced("\\w", "aé猫_²½Ⅷ-e\u0301", "w"), "wwwwwww-w\u0301");
  EXPECT_EQ(replaced("\\S+", "a b\u00a0c", "x"), "x x\u00a0x");
  EXPECT_EQ(replaced("\\D", "a1", "x"), "x1");
  EXPECT_EQ(replaced("[\\d.]+", "a1.5", "n"), "an");
}

TEST(Regex, BoundariesAreUnicode) {
  EXPECT_EQ(replaced("\\bcat\\b", "cat écat caté cat_ cat.", "dog"), "dog écat caté cat_ dog.");
}

TEST(Regex, GroupsAnchorsAndOffsets) {
  EXPECT_EQ(replaced("(\\D[,.])\\b", "a,b.c", "\\1 "), "a, b. c");
  EXPECT_EQ(replaced("x$", "x\n", "y"), "y\n");  // as in Python, $ also stands before a last line break
  const Regex here("\\Gb(c)?");
  EXPECT_FALSE(here.search("abc"));
  const auto found = here.search("abc", 1);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->end(), 3U);
  EXPECT_EQ(found->of("abc", 1), "c");
  EXPECT_TRUE(here.search("ab", 1)->of("ab", 1).empty());
}

TEST(Regex, BytesAndVerbosePatterns) {
  std::string bytes = "\xc3 x";
  Regex("\\xc3 ", Regex::Subject::kBytes).replace(bytes, "\xc3\xa0");
  EXPECT_EQ(bytes, "\xc3\xa0x");
  EXPECT_TRUE(Regex("a [ ] b", Regex::Subject::kUtf8, true).search("a b"));
}

TEST(Regex, TooMuchBacktrackingIsNoMatch) {
  std::string text(5000, 'a');
  text += 'b';
  EXPECT_FALSE(Regex("(?:a|aa|a?a)+\\d").search(text));
}

TEST(Regex, OfPythonInAFile) {
  std::string problem;
  const auto classes = Regex::from_python(R"((?u)^[\u00E4[\U0001F600-\U0001F64F]+\b)", problem);
  ASSERT_TRUE(classes) << problem;
  EXPECT_EQ(classes->search("\u00e4[\U0001F601 x")->end(), 0U + 2 + 1 + 4 - 4 - 1)
      << "a boundary after a letter";
  EXPECT_FALSE(classes->search("x"));
  for (const char* wrong : {"(", "[\\S]", "a\\", "\\uD800", "\\u12", "(?P<a", "\\C"}) {
    problem.clear();
    EXPECT_FALSE(Regex::from_python(wrong, problem)) << wrong;
    EXPECT_NE(problem, "") << wrong;
  }
}

}  // namespace
}  // namespace pixart::text
