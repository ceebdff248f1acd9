#include "pixart/base/words.h"

#include <gtest/gtest.h>

#include <limits>

namespace pixart {
namespace {

TEST(Words, NearestWord) {
  const std::vector<std::string> known = {"learning_rate", "weight_decay", "steps", "seed"};
  EXPECT_EQ(nearest_word("lerning_rate", known), "learning_rate");
  EXPECT_EQ(nearest_word("setps", known), "steps");  // a transposition counts once
  EXPECT_EQ(nearest_word("weightdecay", known), "weight_decay");
  EXPECT_EQ(nearest_word("batch", known), "");
  EXPECT_EQ(nearest_word("", known), "");
  EXPECT_EQ(nearest_word("steps", {}), "");
  EXPECT_EQ(nearest_word(std::string(100000, 'x'), known), "");
}

TEST(Words, DidYouMean) {
  EXPECT_EQ(did_you_mean("seeed", {"seed"}), " Did you mean 'seed'?");
  EXPECT_EQ(did_you_mean("path", {"seed"}), "");
  FewHints hint;
  EXPECT_EQ(hint("seeed", std::vector<std::string>(2001, "seed")), "");
  int num_hints = 0;
  for (int i = 0; i < 1000; ++i) num_hints += hint("seeed", {"seed"}).empty() ? 0 : 1;
  EXPECT_EQ(num_hints, 49);
}

TEST(Words, Join) {
  EXPECT_EQ(join({}, ", "), "");
  EXPECT_EQ(join({"a"}, ", "), "a");
  EXPECT_EQ(join({"a", "b"}, ", "), "a, b");
}

TEST(Words, HumanBytes) {
  EXPECT_EQ(human_bytes(0), "0 B");
  EXPECT_EQ(human_bytes(1023), "1023 B");
  EXPECT_EQ(human_bytes(1024), "1.0 KiB");
  EXPECT_EQ(human_bytes(1048575), "1.0 MiB");
  EXPECT_EQ(human_bytes(1503238553), "1.4 GiB");
  EXPECT_EQ(human_bytes(std::numeric_limits<uint64_t>::max()), "16.0 EiB");
}

TEST(Words, HumanSeconds) {
  EXPECT_EQ(human_seconds(4.2), "4.2 s");
  EXPECT_EQ(human_seconds(3.2e20), "1e+13 years");
  EXPECT_EQ(human_seconds(59.6), "1 min 00 s");
  EXPECT_EQ(human_seconds(192), "3 min 12 s");
  EXPECT_EQ(human_seconds(3720), "1 h 02 min");
  EXPECT_EQ(human_seconds(3 * 86400 + 7200), "3 d 02 h");
  EXPECT_EQ(human_seconds(std::numeric_limits<double>::infinity()), "?");
  EXPECT_EQ(human_seconds(-1), "?");
}

TEST(Words, WithThousands) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(-999), "-999");
  EXPECT_EQ(with_thousands(-1000), "-1,000");
  EXPECT_EQ(with_thousands(610856096), "610,856,096");
  EXPECT_EQ(with_thousands(std::numeric_limits<int64_t>::min()), "-9,223,372,036,854,775,808");
}

TEST(Words, AreTrimmedAtBothEnds) {
  EXPECT_EQ(trimmed(" \t a b\v\f\r\n"), "a b");
  EXPECT_EQ(trimmed(" \n "), "");
  EXPECT_EQ(trimmed(""), "");
  EXPECT_EQ(trimmed("\n a ", " "), "\n a");
}

TEST(Words, LowerCaseIsThatOfAscii) { EXPECT_EQ(ascii_lower("AZ[`az\xC3\x84"), "az[`az\xC3\x84"); }

}  // namespace
}  // namespace pixart
