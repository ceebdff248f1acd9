#include <gmock/gmock.h>

#include "sample.h"

namespace pixart::config::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const std::string kRun =
    "folder: f\nseed: 1\nstages:\n  - {name: text, steps: 5}\n  - {name: aesthetic, steps: 5}\n";

RunConfig run_of(const std::vector<std::string>& overrides) {
  return read_text<RunConfig>(kRun, "run.yaml", overrides);
}

TEST(Overrides, ReplaceAndAdd) {
  const RunConfig run = run_of({"seed=2", "ratio=.25", "compile=true", "cap=3"});
  EXPECT_EQ(run.seed, 2);
  EXPECT_EQ(run.ratio, 0.25);
  EXPECT_TRUE(run.compile);
  EXPECT_EQ(run.cap, 3.0);
  EXPECT_EQ(run_of({"seed=2", "seed=3"}).seed, 3);
  EXPECT_EQ(read_text<RunConfig>("", "run.yaml", {"folder=g"}).folder, "g");
}

TEST(Overrides, ElementsByNameAndIndex) {
  const RunConfig run = run_of(
      {"stages.aesthetic.steps=10", "stages.0.optimizer.lr=0.5", "stages.text.optimizer.betas=[0.5, 0.75]"});
  EXPECT_EQ(run.stages[1].steps, 10);
  EXPECT_EQ(run.stages[0].optimizer.lr, 0.5);
  EXPECT_EQ(run.stages[0].optimizer.betas, (std::vector<double>{0.5, 0.75}));
  EXPECT_EQ(run.stages[1].optimizer.lr, 1e-4);
}

TEST(Overrides, ElementsOfDefaultLists) {
  EXPECT_EQ(run_of({"levels.1=7"}).levels, (std::vector<int64_t>{1, 7, 3}));
  EXPECT_EQ(run_of({"stages.text.optimizer.betas.0=0.5"}).stages[0].optimizer.betas,
            (std::vector<double>{0.5, 0.999}));
}

TEST(Overrides, OptionalSections) {
  EXPECT_EQ(run_of({"limits.memory=4"}).limits->memory, 4);
  EXPECT_FALSE(run_of({"limits.memory=4", "limits=null"}).limits.has_value());
  EXPECT_EQ(run_of({"stages.text.discriminator.betas.1=0.5"}).stages[0].discriminator->betas.at(1), 0.5);
}

TEST(Overrides, TextNeedsNoQuotes) {
  EXPECT_EQ(run_of({"folder=a: b #c = d"}).folder, "a: b #c = d");
  EXPECT_EQ(run_of({"weights="}).weights, "");
  EXPECT_EQ(run_of({"folder=\"null\""}).folder, "null");
  EXPECT_EQ(run_of({"folder=*x"}).folder, "*x");
  EXPECT_EQ(run_of({"prompts=['a, b', c]"}).prompts, (std::vector<std::string>{"a, b", "c"}));
}

TEST(Overrides, ErrorsNameTheOverride) {
  const auto error = [](const std::string& text) { return error_of(kRun, {text}); };
  EXPECT_EQ(error("seed=1e3"), "--set seed=1e3: seed: '1e3' is not an integer (write 1000)");
  EXPECT_EQ(error("sede=1"), "--set sede=1: sede: unknown key. Did you mean 'seed'?");
  EXPECT_EQ(error("sede.a.b=1"), "--set sede.a.b=1: sede: unknown key. Did you mean 'seed'?");
  EXPECT_EQ(error("stages.text.lr=1"),
            "--set stages.text.lr=1: stages.text.lr: unknown key. Did you mean 'optimizer.lr'?");
  EXPECT_EQ(
      error("stages.tex.steps=1"),
      "--set stages.tex.steps=1: stages: no element 'tex' (known: text, aesthetic). Did you mean 'text'?");
  EXPECT_THAT(error("stages.2.steps=1"), HasSubstr("no element '2'"));
  EXPECT_THAT(error("stages.-1.steps=1"), HasSubstr("no element '-1'"));
  EXPECT_THAT(error("prompts.0=x"), HasSubstr("the list is empty"));
  EXPECT_EQ(error("seed.x=1"),
            "--set seed.x=1: seed: is a single value and has no keys (set it itself, or remove the rest of "
            "the path)");
  for (const char* text : {"seed", "=1", "", "a..b=1", ".a=1", "a.=1"})
    EXPECT_THAT(error(text), HasSubstr("is not an override")) << text;
  EXPECT_THAT(error("levels=[1"), HasSubstr("--set levels=[1: levels: not valid YAML"));
  EXPECT_THAT(error("levels=[1, 0]"), HasSubstr("--set levels=[1, 0]: levels.1: 0 is out of range"));
  EXPECT_THAT(error("prompts=[&a x]"), HasSubstr("prompts: anchors"));
  EXPECT_THAT(error("folder=\xff"), HasSubstr("not UTF-8"));
  EXPECT_THAT(error("limits.memory=null"), HasSubstr("limits.memory: no value"));
}

TEST(Overrides, ProblemsOfFileAndOverridesTogether) {
  EXPECT_EQ(error_of("folder: f\nratio: x\n", {"seed=x", "cap=0"}),
            "run.yaml: 3 problems\n"
            "  run.yaml:2: ratio: 'x' is not a number (write a decimal number, such as 10)\n"
            "  --set seed=x: seed: 'x' is not an integer (write a decimal number, such as 10)\n"
            "  --set cap=0: cap: 0 is out of range (must be more than 0)");
}

TEST(Overrides, AMissingKeyCanBeGiven) {
  EXPECT_EQ(read_text<RunConfig>("seed: 1", "run.yaml", {"folder=g"}).folder, "g");
  EXPECT_EQ(read_text<RunConfig>("folder: f\nstages: [{name: a}]", "run.yaml", {"stages.a.steps=3"})
                .stages[0]
                .steps,
            3);
}

}  // namespace
}  // namespace pixart::config::test
