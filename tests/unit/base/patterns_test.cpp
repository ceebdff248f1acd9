#include "pixart/base/patterns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pixart {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::vector<std::string> kNames = {"pos_embed", "blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.bias",
                                         "blocks.11.mlp.fc1.weight"};

std::vector<bool> matches(const std::vector<std::string>& patterns) {
  Problems problems;
  auto result = matching_names(patterns, kNames, "frozen", "parameter", problems);
  problems.throw_if_any("patterns");
  return result;
}

std::string problem_of(const std::string& pattern) {
  Problems problems;
  matching_names({pattern}, kNames, "frozen", "parameter", problems);
  return problems.empty() ? "" : problems.all().front();
}

TEST(MatchingNames, MatchWholeNames) {
  EXPECT_THAT(matches({}), ElementsAre(false, false, false, false));
  EXPECT_THAT(matches({"pos_embed"}), ElementsAre(true, false, false, false));
  EXPECT_THAT(matches({"*.bias"}), ElementsAre(false, false, true, false));
  EXPECT_THAT(matches({"blocks.*.attn.*"}), ElementsAre(false, true, true, false));
  EXPECT_THAT(matches({"blocks.??.*", "*pos*"}), ElementsAre(true, false, false, true));
  EXPECT_THAT(matches({"*qkv.[bc]ias"}), ElementsAre(false, false, true, false));
  EXPECT_THAT(matches({"*"}), ElementsAre(true, true, true, true));
}

TEST(MatchingNames, APatternWithoutMatchNamesTheNearest) {
  EXPECT_EQ(problem_of("*.bias"), "");
  EXPECT_EQ(problem_of("pos_embd"), "frozen: 'pos_embd' matches no parameter. Did you mean 'pos_embed'?");
  EXPECT_THAT(problem_of("blocks.*.atn.*"), HasSubstr("Did you mean 'blocks.*.attn.*'?"));
  EXPECT_THAT(problem_of("*.biass"), HasSubstr("Did you mean '*.bias'?"));
  EXPECT_THAT(problem_of("bias"), HasSubstr("Did you mean '*bias'?"));
  EXPECT_EQ(problem_of("something.quite.different"),
            "frozen: 'something.quite.different' matches no parameter.");
  EXPECT_EQ(problem_of(""), "frozen: '' matches no parameter.");
  EXPECT_EQ(problem_of("["), "frozen: '[' matches no parameter.");
}

TEST(MatchingNames, AllProblemsAtOnce) {
  Problems problems;
  matching_names({"x", "pos_embed", "y"}, kNames, "frozen", "parameter", problems);
  EXPECT_EQ(problems.all().size(), 2u);
}

}  // namespace
}  // namespace pixart
