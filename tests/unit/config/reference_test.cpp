#include <gmock/gmock.h>

#include <algorithm>

#include "sample.h"

namespace pixart::config::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

KeyInfo key(const std::string& path) {
  const auto all = keys<RunConfig>();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const KeyInfo& info) { return info.path == path; });
  EXPECT_NE(found, all.end()) << path;
  return found == all.end() ? KeyInfo{} : *found;
}

TEST(Reference, EveryKeyIsListedOnce) {
  std::vector<std::string> paths;
  for (const auto& info : keys<RunConfig>()) paths.push_back(info.path);
  EXPECT_EQ(paths.size(), 11u + 7u + 2u + 2u + 1u);
  EXPECT_EQ(paths.front(), "folder");
  EXPECT_EQ(paths.back(), "limits.memory");
  std::sort(paths.begin(), paths.end());
  EXPECT_EQ(std::adjacent_find(paths.begin(), paths.end()), paths.end());
}

TEST(Reference, Keys) {
  const auto steps = key("stages[].steps");
  EXPECT_EQ(steps.type, "integer");
  EXPECT_TRUE(steps.required);
  EXPECT_EQ(steps.default_value, "");
  EXPECT_EQ(steps.rule, "more than 0");
  EXPECT_EQ(steps.meaning, "Optimizer steps.");
  EXPECT_EQ(steps.on_resume, OnResume::kNeedsPermission);
  EXPECT_EQ(key("stages[].optimizer.lr").default_value, "0.0001");  // the stage's
  EXPECT_EQ(key("stages[].discriminator.lr").default_value, "2e-05");
  EXPECT_EQ(key("stages[].optimizer.betas").rule, "0 to 1; exactly 2 elements");
  EXPECT_EQ(key("stages[].schedule").rule, "one of constant, cosine");
  EXPECT_EQ(key("cap").type, "number or null");
  EXPECT_EQ(key("cap").default_value, "null");
  EXPECT_EQ(key("flags").type, "list of true or false");
  EXPECT_EQ(key("stages").type, "list of sections");
  EXPECT_EQ(key("stages[].optimizer").default_value, "");
  EXPECT_EQ(key("folder").type, "path");
}

TEST(Reference, Page) {
  const std::string page = reference_markdown<RunConfig>("Run files");
  EXPECT_THAT(page, StartsWith("# Run files\n"));
  EXPECT_THAT(
      page,
      HasSubstr("\n| key | type | default | allowed | on resume | meaning |\n|---|---|---|---|---|---|\n"
                "| `folder` | path | required |  | free | Where everything is written. |\n"));
  EXPECT_THAT(
      page,
      HasSubstr("\n| `stages` | [list of sections](#stages) | `[]` |  | fixed | Stages, in order. |\n"));
  EXPECT_THAT(page, HasSubstr("\n## `stages[].optimizer`\n\nThe optimizer.\n\n| key |"));
  EXPECT_THAT(page, HasSubstr("\n| `optimizer` | [section](#stagesoptimizer) |  |  |  | The optimizer. |\n"));
  EXPECT_THAT(page, HasSubstr("| Bytes \\| pages of &lt;n>. |"));
  EXPECT_THAT(reference_markdown<RunConfig>("x", "run"),
              AllOf(HasSubstr("## `run.stages[].optimizer`"), HasSubstr("## `run.limits`")));
}

}  // namespace
}  // namespace pixart::config::test
