#include <gmock/gmock.h>

#include <limits>

#include "pixart/base/env.h"
#include "sample.h"

namespace pixart::config::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(Scalar, Booleans) {
  EXPECT_TRUE(run_with("compile: true").compile);
  EXPECT_FALSE(run_with("compile: false").compile);
  for (const char* text : {"yes", "no", "on", "off", "True", "FALSE", "1", "0", "y"}) {
    EXPECT_EQ(error_with(std::string("compile: ") + text),
              std::string("run.yaml:2: compile: '") + text + "' is not true or false (write true or false)");
  }
  EXPECT_THAT(error_with("compile: \"true\""), HasSubstr("without quotes"));
}

TEST(Scalar, Integers) {
  EXPECT_EQ(run_with("seed: 0").seed, 0);
  EXPECT_EQ(run_with("seed: -12").seed, -12);
  EXPECT_EQ(run_with("seed: 9223372036854775807").seed, std::numeric_limits<int64_t>::max());
  EXPECT_EQ(run_with("seed: -9223372036854775808").seed, std::numeric_limits<int64_t>::min());
}

TEST(Scalar, PathsMayBeginInTheHomeFolder) {
  const std::string home = environment_variable("HOME").value_or("");
  set_environment_variable("HOME", "/ada");
  const std::string plain = "folder: f\n";
  EXPECT_EQ(read_text<RunConfig>("folder: ~/runs/a\n", "run.yaml").folder, "/ada/runs/a");
  EXPECT_EQ(read_text<RunConfig>("folder: \"~/runs/a\"\n", "run.yaml").folder, "/ada/runs/a");
  EXPECT_EQ(read_text<RunConfig>(plain, "run.yaml", {"folder=~/a"}).folder, "/ada/a");
  EXPECT_EQ(read_text<RunConfig>(plain, "run.yaml", {"weights=~/w.pth"}).weights, "/ada/w.pth");
  EXPECT_EQ(read_text<RunConfig>(plain, "run.yaml", {"folder=./~/a"}).folder, "./~/a");
  EXPECT_EQ(read_text<RunConfig>(plain, "run.yaml", {"folder=~eve/a"}).folder, "~eve/a");
  EXPECT_EQ(read_text<RunConfig>(plain, "run.yaml", {"prompts=[~/a]"}).prompts.at(0), "~/a")
      << "a text is no path";
  const auto run = read_text<RunConfig>("folder: ~/a\n", "run.yaml");
  EXPECT_EQ(read_text<RunConfig>(to_yaml(run), "run.yaml").folder, run.folder);
  set_environment_variable("HOME", home.c_str());
}

TEST(Scalar, IntegersThatAreNone) {
  EXPECT_EQ(error_with("seed: 010"),
            "run.yaml:2: seed: '010' is ambiguous: some YAML readers read it as octal (write 10)");
  EXPECT_EQ(error_with("seed: -007"),
            "run.yaml:2: seed: '-007' is ambiguous: some YAML readers read it as octal (write -7)");
  EXPECT_EQ(error_with("seed: 1e3"), "run.yaml:2: seed: '1e3' is not an integer (write 1000)");
  EXPECT_EQ(error_with("seed: 2.0"), "run.yaml:2: seed: '2.0' is not an integer (write 2)");
  EXPECT_EQ(error_with("seed: 2.5"), "run.yaml:2: seed: '2.5' is not an integer (write a whole number)");
  EXPECT_EQ(error_with("seed: \"1\""),
            "run.yaml:2: seed: '1' is text, expected an integer (remove the quotes)");
  EXPECT_THAT(error_with("seed: 9223372036854775808"), HasSubstr("too large"));
  EXPECT_THAT(error_with("seed: -9223372036854775809"), HasSubstr("too large"));
  for (const char* text :
       {"0x1F", "0o17", "1_000", "1,000", "+1", "ten", "1 2", ".inf", "190:20:30", "1e", "true", "--1"}) {
    EXPECT_THAT(error_with(std::string("seed: ") + text), HasSubstr("not an integer")) << text;
  }
}

TEST(Scalar, Numbers) {
  EXPECT_EQ(run_with("ratio: 1e-4").ratio, 1e-4);
  EXPECT_EQ(run_with("ratio: 2.0E+3").ratio, 2000);
  EXPECT_EQ(run_with("ratio: 3").ratio, 3);
  EXPECT_EQ(run_with("ratio: .5").ratio, 0.5);
  EXPECT_EQ(run_with("ratio: 5.").ratio, 5);
  EXPECT_EQ(run_with("ratio: -0.25").ratio, -0.25);
}

TEST(Scalar, NumbersThatAreNone) {
  for (const char* text :
       {".nan", ".inf", "-.inf", "nan", "inf", "0x1p3", "1_0", "+1", ".", "e5", "1e", "1.2.3", "1/2", "5%"}) {
    EXPECT_THAT(error_with(std::string("ratio: ") + text), HasSubstr("not a number")) << text;
  }
  EXPECT_THAT(error_with("ratio: '0.5'"), HasSubstr("remove the quotes"));
  EXPECT_THAT(error_with("ratio: 010.5"), HasSubstr("write 10.5"));
  EXPECT_THAT(error_with("ratio: 1e999"), HasSubstr("too large or too small"));
  EXPECT_THAT(error_with("ratio: 1e-999"), HasSubstr("too large or too small"));
}

TEST(Scalar, TextIsWhatStandsThere) {
  for (const char* text : {"yes", "010", "1e3", "true", "null_device", "a b", "C:/x"}) {
    EXPECT_EQ(run_with(std::string("prompts: [") + text + "]").prompts.at(0), text);
  }
  EXPECT_EQ(run_with("prompts: [\"\", 'it''s', \"a\\tb\\u00e9\"]").prompts,
            (std::vector<std::string>{"", "it's", "a\tb\u00e9"}));
  EXPECT_EQ(run_with("prompts:\n  - |\n    two\n    lines").prompts.at(0), "two\nlines\n");
  EXPECT_THAT(error_with("prompts: [\"a\\0b\"]"), HasSubstr("NUL"));
}

TEST(Scalar, Rules) {
  EXPECT_EQ(error_with("cap: 0"), "run.yaml:2: cap: 0 is out of range (must be more than 0)");
  EXPECT_EQ(error_with("levels: [1, 0]"), "run.yaml:2: levels.1: 0 is out of range (must be at least 1)");
  EXPECT_EQ(error_with("limits: {memory: -1}"),
            "run.yaml:2: limits.memory: -1 is out of range (must be at least 0)");
  EXPECT_EQ(error_with("stages: [{name: a, steps: 1, optimizer: {betas: [0.9, 1.5]}}]"),
            "run.yaml:2: stages.a.optimizer.betas.1: 1.5 is out of range (must be 0 to 1)");
  EXPECT_EQ(error_with("stages: [{name: a, steps: 1, optimizer: {betas: [0.9]}}]"),
            "run.yaml:2: stages.a.optimizer.betas: the list has 1 elements, expected exactly 2");
  EXPECT_EQ(error_with("stages: [{name: a, steps: 1, schedule: cosin}]"),
            "run.yaml:2: stages.a.schedule: 'cosin' is unknown (write one of constant, cosine). Did you mean "
            "'cosine'?");
  EXPECT_EQ(error_with("stages: [{name: a, steps: 1, schedule: cosine}]"), "");
}

}  // namespace
}  // namespace pixart::config::test
