#include "pixart/text/name_pattern.h"

#include "scratch_folder.h"

namespace pixart::text {
namespace {

using ::testing::HasSubstr;

TEST(NamePattern, MatchesWholeNamesAsPythonDoes) {
  EXPECT_TRUE(NamePattern("a|b").matches("b"));
  EXPECT_FALSE(NamePattern("a|b").matches("ab"));
  EXPECT_TRUE(NamePattern(R"(.*(?<!x)\.to_(?P<part>[qk])\d*+)").matches("y.to_k12"));
  EXPECT_FALSE(NamePattern(R"(.*(?<!x)\.to_(?P<part>[qk]))").matches("x.to_k"));
  EXPECT_FALSE(NamePattern("a").matches("a\n"));
  EXPECT_TRUE(NamePattern("[\\W]").matches("."));
}

TEST(NamePattern, WrongPatternsAreTheUsersError) {
  for (const char* pattern : {"(a", "a)", "a)|(b", "[a", "*", "\\"})
    EXPECT_THAT(testing::refusal([&] { NamePattern(std::string(pattern)).matches("a"); }),
                HasSubstr(fmt::format("'{}' is not a regular expression", pattern)));
}

}  // namespace
}  // namespace pixart::text
