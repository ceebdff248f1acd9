#include <gmock/gmock.h>

#include <limits>

#include "sample.h"

namespace pixart::config::test {
namespace {

using ::testing::HasSubstr;

TEST(Emit, EveryKeyIsWritten) {
  const RunConfig run = run_with("stages: [{name: a, steps: 5, discriminator: {}}]");
  EXPECT_EQ(
      to_yaml(run),
      "folder: f\ncompile: false\nseed: 0\nratio: 0.5\ncap: null\nweights: null\nprompts: []\nflags: []\n"
      "levels: [1, 2, 3]\nstages:\n  - name: a\n    steps: 5\n    schedule: constant\n    optimizer:\n      "
      "lr: 0.0001\n"
      "      betas: [0.9, 0.999]\n    discriminator:\n      lr: 2e-05\n      betas: [0.9, 0.999]\n    "
      "batch_size: 8\n"
      "    micro_batch_size: 8\nlimits: null\n");
}

void expect_round_trip(const RunConfig& run) {
  const std::string yaml = to_yaml(run);
  const RunConfig again = read_text<RunConfig>(yaml, "again.yaml");
  EXPECT_TRUE(compare(run, again).empty()) << yaml;
  EXPECT_EQ(to_yaml(again), yaml);
}

TEST(Emit, RoundTrip) {
  expect_round_trip(run_with(""));
  expect_round_trip(
      run_with("compile: true\ncap: 1\nweights: a b/c\nflags: [true]\nlevels: []\nlimits: {memory: 3}\n"
               "stages: [{name: a, steps: 5, discriminator: {lr: 0.5}}, {name: b, steps: 6}]"));
}

TEST(Emit, NumbersKeepTheirBits) {
  RunConfig run = run_with("");
  for (const double number :
       {0.1, 1.0 / 3, 1e-300, 1.7976931348623157e308, 5e-324, -0.0, 1e22, 123456789.0}) {
    run.ratio = number;
    expect_round_trip(run);
    EXPECT_EQ(read_text<RunConfig>(to_yaml(run), "again").ratio, number);
  }
  for (const int64_t number : {std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()}) {
    run.seed = number;
    expect_round_trip(run);
  }
  run.ratio = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(to_yaml(run), InternalError);
}

TEST(Emit, TextIsQuotedWhereNeeded) {
  RunConfig run = run_with("");
  run.prompts = {"",     " ",      "a ",    "true",   "Null", "no",  "~",       "12",    "1e3",
                 ".5",   "-x",     "- x",   "a: b",   "a #b", "#a",  "\"q\"",   "'q'",   "a\\b",
                 "a\nb", "a\tb",   "\x1b[", "\r",     "{x}",  "[x]", "&a",      "*a",    "!a",
                 "%a",   "@a",     "`a",    "ä 𝄞",    "|",    ">",   "? a",     "---",   "...",
                 "a,b",  "../a/b", "./a.b", "/a_b-c", "a=b",  "<<",  "\u0085x", "\u2028"};
  expect_round_trip(run);
  EXPECT_EQ(read_text<RunConfig>(to_yaml(run), "again").prompts, run.prompts);
  run.prompts = {"../a/b.c", "true"};
  EXPECT_THAT(to_yaml(run), HasSubstr("prompts: [../a/b.c, \"true\"]\n"));
}

TEST(Emit, LongListsGetALinePerElement) {
  RunConfig run = run_with("");
  run.prompts = {"a red circle on a white background", "a red square on a black background",
                 "a red cross on a gray background"};
  EXPECT_THAT(to_yaml(run), HasSubstr("prompts:\n  - a red circle on a white background\n  - a red square"));
  expect_round_trip(run);
}

}  // namespace
}  // namespace pixart::config::test
