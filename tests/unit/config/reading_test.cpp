#include <gmock/gmock.h>

#include "sample.h"

namespace pixart::config::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(Reading, DefaultsOfEveryLevel) {
  const RunConfig run = run_with("stages: [{name: a, steps: 5}]");
  EXPECT_EQ(run.folder, "f");
  EXPECT_EQ(run.ratio, 0.5);
  EXPECT_EQ(run.cap, std::nullopt);
  EXPECT_EQ(run.levels, (std::vector<int64_t>{1, 2, 3}));
  EXPECT_EQ(run.stages.at(0).optimizer.lr, 1e-4);  // the stage's default, not the optimizer's
  EXPECT_FALSE(run.stages.at(0).discriminator.has_value());
}

TEST(Reading, EveryTypeOfMember) {
  const RunConfig run = run_with(
      "compile: true\nseed: 7\nratio: 0.25\ncap: 1\nweights: a/b.pth\nprompts: [x, y]\nflags: [true, "
      "false]\nlevels: []\n"
      "limits: {memory: 3}\nstages:\n  - name: a\n    steps: 5\n    discriminator: {lr: 0.5}\n  - {name: b, "
      "steps: 6}");
  EXPECT_TRUE(run.compile);
  EXPECT_EQ(run.seed, 7);
  EXPECT_EQ(run.cap, 1.0);
  EXPECT_EQ(run.weights, "a/b.pth");
  EXPECT_EQ(run.prompts, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(run.flags, (std::vector<bool>{true, false}));
  EXPECT_TRUE(run.levels.empty());
  EXPECT_EQ(run.limits->memory, 3);
  EXPECT_EQ(run.stages.at(0).discriminator->lr, 0.5);
  EXPECT_EQ(run.stages.at(0).discriminator->betas.size(), 2u);
  EXPECT_EQ(run.stages.at(1).steps, 6);
}

TEST(Reading, UnknownKeys) {
  EXPECT_EQ(error_with("sede: 1"), "run.yaml:2: sede: unknown key. Did you mean 'seed'?");
  EXPECT_EQ(error_with("stages:\n  - name: a\n    steps: 1\n    lr: 3"),
            "run.yaml:5: stages.a.lr: unknown key. Did you mean 'optimizer.lr'?");
  EXPECT_EQ(error_with("limits: {memory: 1, zebra: 2}"),
            "run.yaml:2: limits.zebra: unknown key. (known here: memory)");
}

TEST(Reading, MissingKeys) {
  EXPECT_EQ(error_of("seed: 1"),
            "run.yaml:1: folder: is missing and has no default (add it: Where everything is written.)");
  EXPECT_EQ(error_with("stages:\n  - name: a\n  - steps: 1"),
            "run.yaml: 2 problems\n"
            "  run.yaml:3: stages.a.steps: is missing and has no default (add it: Optimizer steps.)\n"
            "  run.yaml:4: stages.1.name: is missing and has no default (add it: Name of the stage.)");
  EXPECT_THAT(error_with("limits: {}"), HasSubstr("run.yaml:2: limits.memory: is missing"));
}

TEST(Reading, NullUnsetsOptionalKeysOnly) {
  EXPECT_EQ(run_with("cap: null\nlimits: ~\nweights:").cap, std::nullopt);
  EXPECT_EQ(error_with("seed: null"), "run.yaml:2: seed: no value (write one, or remove the key)");
  EXPECT_EQ(error_with("stages:"), "run.yaml:2: stages: no value (write one, or remove the key)");
  EXPECT_EQ(error_of("folder:"),
            "run.yaml:1: folder: no value (write one, \"\" for an empty text, or remove the key)");
  EXPECT_EQ(run_with("prompts: [\"null\"]").prompts.at(0), "null");
}

TEST(Reading, WrongShapes) {
  EXPECT_EQ(error_with("levels: 4"), "run.yaml:2: levels: got a single value, expected a list (write [4])");
  EXPECT_EQ(error_with("levels: {a: 4}"),
            "run.yaml:2: levels: got a section of keys, expected a list (begin each element with -)");
  EXPECT_EQ(error_with("seed: [4]"),
            "run.yaml:2: seed: got a list, expected a single value (write one integer)");
  EXPECT_EQ(error_with("compile: {a: 1}"),
            "run.yaml:2: compile: got a section of keys, expected a single value (write true or false)");
  EXPECT_EQ(error_with("stages: [x]"),
            "run.yaml:2: stages.0: got a single value, expected a section (write lines of key: value)");
}

TEST(Reading, AllProblemsAtOnceInTheOrderOfTheFile) {
  EXPECT_EQ(error_of("seed: 1e3\nsede: 1\nstages:\n  - name: a\n    steps: 0\n    schedule: x\n  - name: b\n "
                     "   steps: ten\n"),
            "run.yaml: 6 problems\n"
            "  run.yaml:1: folder: is missing and has no default (add it: Where everything is written.)\n"
            "  run.yaml:1: seed: '1e3' is not an integer (write 1000)\n"
            "  run.yaml:2: sede: unknown key. Did you mean 'seed'?\n"
            "  run.yaml:5: stages.a.steps: 0 is out of range (must be more than 0)\n"
            "  run.yaml:6: stages.a.schedule: 'x' is unknown (write one of constant, cosine).\n"
            "  run.yaml:8: stages.b.steps: 'ten' is not an integer (write a decimal number, such as 10)");
}

TEST(Reading, ValidateIsCalledWherePossible) {
  EXPECT_EQ(error_with("stages:\n  - name: a\n    steps: 1\n    batch_size: 9"),
            "run.yaml:3: stages.a: batch_size is no multiple of micro_batch_size");
  // A stage with another problem is not validated; its neighbour is.
  const std::string error = error_with(
      "stages:\n  - {name: a, steps: 0, batch_size: 9}\n  - {name: b, steps: 1, batch_size: 9}\n  - {name: "
      "c, steps: 1}\n"
      "  - {name: d, steps: 1}");
  EXPECT_THAT(error, HasSubstr("run.yaml:4: stages.b: batch_size"));
  EXPECT_THAT(error, Not(HasSubstr("stages.a: batch_size")));
  EXPECT_THAT(error, Not(HasSubstr("more than three")));
  EXPECT_EQ(
      error_with(
          "stages: [{name: a, steps: 1}, {name: b, steps: 1}, {name: c, steps: 1}, {name: d, steps: 1}]"),
      "run.yaml:1: more than three stages");
}

TEST(Reading, AProblemOfAnInnerStructHasItsPlaceAndPath) {
  EXPECT_EQ(
      error_with(
          "stages:\n  - {name: a, steps: 3}\n  - {name: b, steps: 2000}\n  - {name: \"7\", steps: 3000}\n"
          "limits:\n  memory: 9000000"),
      "run.yaml: 3 problems\n"
      "  run.yaml:4: stages.b: steps is more than 1000\n"
      "  run.yaml:5: stages.2: steps is more than 1000\n"
      "  run.yaml:6: limits: memory is more than 1000000");
}

TEST(Reading, EqualProblemsAreToldOnce) {
  EXPECT_EQ(error_with("levels: [1, 2000, 3000]"), "run.yaml:1: a level is more than 1000");
}

TEST(Reading, RequiredTextsAndPathsAreNotEmpty) {
  EXPECT_EQ(error_of("folder: \"\""), "run.yaml:1: folder: is empty (write one path)");
  EXPECT_EQ(error_of("folder: f", {"folder="}), "--set folder=: folder: is empty (write one path)");
  EXPECT_EQ(error_with("stages:\n  - {name: \"\", steps: 1}"),
            "run.yaml:3: stages.0.name: is empty (write one text)");
  EXPECT_EQ(run_with("prompts: [\"\"]").prompts.at(0), "");
}

TEST(Reading, OddNamesOfElements) {
  EXPECT_THAT(error_with("stages: [{name: a.b, steps: 0}]"), HasSubstr("stages.0.steps"));
  EXPECT_THAT(error_with("stages: [{name: \"12\", steps: 0}]"), HasSubstr("stages.0.steps"));
}

}  // namespace
}  // namespace pixart::config::test
