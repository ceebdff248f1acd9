#include <gmock/gmock.h>

#include "sample.h"

namespace pixart::config::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// "path: was -> is"
std::vector<std::string> changes(const RunConfig& was, const RunConfig& is) {
  std::vector<std::string> result;
  for (const auto& change : compare(was, is))
    result.push_back(change.path + ": " + change.was + " -> " + change.is);
  return result;
}

const std::string kStages = "stages: [{name: a, steps: 1}, {name: b, steps: 2}]";

TEST(Compare, EqualConfigs) { EXPECT_THAT(changes(run_with(kStages), run_with(kStages)), IsEmpty()); }

TEST(Compare, EveryChangedKeyWithItsRule) {
  const auto changed =
      compare(run_with(kStages), run_with(kStages, {"seed=3", "cap=2", "stages.b.optimizer.lr=0.5"}));
  ASSERT_EQ(changed.size(), 3u);
  EXPECT_EQ(changed[0].path, "seed");
  EXPECT_EQ(changed[0].was, "0");
  EXPECT_EQ(changed[0].is, "3");
  EXPECT_EQ(changed[0].on_resume, OnResume::kFixed);
  EXPECT_EQ(changed[1].path, "cap");
  EXPECT_EQ(changed[1].was, "null");
  EXPECT_EQ(changed[1].on_resume, OnResume::kFree);
  EXPECT_EQ(changed[2].path, "stages.b.optimizer.lr");
  EXPECT_EQ(changed[2].on_resume, OnResume::kNeedsPermission);
}

TEST(Compare, ListsOfValuesAreOneKey) {
  EXPECT_THAT(changes(run_with(""), run_with("levels: [1, 2]")), ElementsAre("levels: [1, 2, 3] -> [1, 2]"));
}

TEST(Compare, ElementsAddedRemovedAndMoved) {
  const RunConfig was = run_with(kStages);
  RunConfig is = was;
  std::swap(is.stages[0], is.stages[1]);
  EXPECT_THAT(changes(was, is), ElementsAre("stages: order a, b -> order b, a"));
  is = was;
  is.stages.erase(is.stages.begin());
  is.stages[0].steps = 7;
  ASSERT_EQ(compare(was, is).size(), 2u);
  EXPECT_EQ(compare(was, is)[0].path, "stages.a");
  EXPECT_EQ(compare(was, is)[0].is, "absent");
  EXPECT_EQ(compare(was, is)[1].path, "stages.b.steps");
  ASSERT_EQ(compare(is, was).size(), 2u);
  EXPECT_EQ(compare(is, was)[1].was, "absent");
}

TEST(Compare, ElementsWithOneNameGoByIndex) {
  RunConfig was = run_with(kStages);
  was.stages[1].name = "a";
  RunConfig is = was;
  is.stages[1].steps = 9;
  EXPECT_THAT(changes(was, is), ElementsAre("stages.1.steps: 2 -> 9"));
}

TEST(Compare, SectionsThatAppear) {
  EXPECT_THAT(changes(run_with(""), run_with("limits: {memory: 3}")),
              ElementsAre("limits: null -> {memory: 3}"));
  EXPECT_EQ(compare(run_with(""), run_with("limits: {memory: 3}"))[0].on_resume, OnResume::kFree);
}

// Each key of the schema is noticed: what compare() overlooks could change in a resumed run.
TEST(Compare, NoKeyIsOverlooked) {
  const std::string lines =
      kStages + "\nlimits: {memory: 3}\nflags: [true]\nprompts: [x]\nweights: w\ncap: 1";
  const std::vector<std::string> overrides = {"folder=g",
                                              "compile=true",
                                              "seed=9",
                                              "ratio=0.1",
                                              "cap=9",
                                              "weights=v",
                                              "prompts=[]",
                                              "flags=[false]",
                                              "levels=[9]",
                                              "limits.memory=9",
                                              "stages.1.name=c",
                                              "stages.a.steps=9",
                                              "stages.a.schedule=cosine",
                                              "stages.a.optimizer.lr=9",
                                              "stages.a.optimizer.betas=[0, 0]",
                                              "stages.a.discriminator={}",
                                              "stages.a.batch_size=16",
                                              "stages.a.micro_batch_size=4"};
  for (const auto& override : overrides) {
    EXPECT_FALSE(compare(run_with(lines), run_with(lines, {override})).empty()) << override;
  }
}

}  // namespace
}  // namespace pixart::config::test
