#include <gmock/gmock.h>

#include "sample.h"

namespace pixart::config::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> found(const std::string& asked) {
  std::vector<std::string> paths;
  for (const auto& key : find_keys(asked, keys<RunConfig>())) paths.push_back(key.path);
  return paths;
}

std::string remedy(const std::string& asked) { return key_remedy(asked, keys<RunConfig>()); }

TEST(FindKeys, ByPathOrItsEnd) {
  EXPECT_THAT(found("seed"), ElementsAre("seed"));
  EXPECT_THAT(found("stages[].optimizer.lr"), ElementsAre("stages[].optimizer.lr"));
  EXPECT_THAT(found("optimizer.lr"), ElementsAre("stages[].optimizer.lr"));
  EXPECT_THAT(found("lr"), ElementsAre("stages[].optimizer.lr", "stages[].discriminator.lr"));
  for (const char* element : {"stages.text.steps", "stages.0.steps", "stages.steps"})
    EXPECT_THAT(found(element), ElementsAre("stages[].steps")) << element;
  EXPECT_THAT(found("stages"), ElementsAre("stages"));
  EXPECT_THAT(found("stages[].lr"), ElementsAre());
}

TEST(KeyRemedy, ForAMisspeltWordAnywhereInAPath) {
  EXPECT_EQ(remedy("sede"), " Did you mean 'seed'?");
  EXPECT_EQ(remedy("optimizer.bettas"), " Did you mean 'optimizer.betas'?");
  EXPECT_EQ(remedy("optimiser.lr"), " Did you mean 'optimizer.lr'?");
  EXPECT_EQ(remedy("stagse[].optimizer.betsa"), " Did you mean 'stages[].optimizer.betas'?");
  EXPECT_EQ(remedy("stages.text.stepps"), " Did you mean 'stages[].steps'?");
}

TEST(KeyRemedy, ByPartsOfTheNameThenByItsSentence) {
  EXPECT_EQ(remedy("batch"), " Did you mean one of stages[].batch_size, stages[].micro_batch_size?");
  EXPECT_EQ(remedy("optimizer.lerning_rate"), " Did you mean 'stages[].optimizer.lr'?");
  EXPECT_EQ(remedy("stages[].discriminator.lerning_rate"), " Did you mean 'stages[].discriminator.lr'?");
  EXPECT_THAT(remedy("lerning_rate"), HasSubstr("stages[].optimizer.lr"));
}

TEST(KeyRemedy, ElseWhatTheSectionHas) {
  EXPECT_EQ(remedy("stages[].optimizer.xyzzy"), " Known keys: betas, lr.");
  EXPECT_EQ(remedy("xyzzy"), "");
}

}  // namespace
}  // namespace pixart::config::test
