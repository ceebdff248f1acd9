#include <gmock/gmock.h>

#include <set>

#include "sample.h"

namespace pixart::config::test {
namespace {

TEST(Values, EveryKeyOnceWithItsValue) {
  const RunConfig config = run_with("stages: [{name: a, steps: 1}, {name: b, steps: 2}]", {"seed=3"});
  std::map<std::string, KeyValue> by_path;
  for (const auto& value : values(config))
    EXPECT_TRUE(by_path.emplace(value.path, value).second) << value.path;
  EXPECT_EQ(by_path.at("seed").value, "3");
  EXPECT_FALSE(by_path.at("seed").is_default);
  EXPECT_EQ(by_path.at("stages.b.steps").value, "2");
  EXPECT_EQ(by_path.at("stages.b.steps").key, "stages[].steps");
  EXPECT_TRUE(by_path.at("stages.a.optimizer.lr").is_default);
  // The same keys as the reference lists, but for sections.
  std::set<std::string> known;
  for (const auto& key : keys<RunConfig>()) known.insert(key.path);
  for (const auto& [path, value] : by_path) EXPECT_EQ(known.count(value.key), 1) << value.key;
}

}  // namespace
}  // namespace pixart::config::test
