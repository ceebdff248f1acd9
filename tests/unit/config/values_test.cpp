#include <gmock/gmock.h>

#include <map>
#include <set>

#include "sample.h"
#include "scratch_folder.h"

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

class ValuesOfFile : public testing::ScratchFolder {};

TEST_F(ValuesOfFile, SayWhereTheyStand) {
  const auto file = write("run.yaml",
                          "folder: f\n"
                          "stages:\n"
                          "  - name: a\n"
                          "    steps: 1\n"
                          "    optimizer:\n"
                          "      lr: 1.0e-4\n"
                          "  - {name: b, steps: 2}\n"
                          "seed: 0\n");
  std::map<std::string, KeyValue> by_path;
  for (const auto& value : values_of_file<RunConfig>(file, {"stages.a.steps=7", "levels=[4]"}))
    by_path[value.path] = value;
  EXPECT_EQ(by_path.at("folder").line, 1);
  EXPECT_EQ(by_path.at("stages.a.optimizer.lr").line, 6);
  EXPECT_EQ(by_path.at("stages.b.steps").line, 7);
  EXPECT_EQ(by_path.at("seed").line, 8) << "written, though it is the default";
  for (const char* absent : {"stages.a.optimizer.betas", "stages.b.optimizer.lr", "compile"}) {
    EXPECT_EQ(by_path.at(absent).line, 0) << absent;
    EXPECT_EQ(by_path.at(absent).override_index, -1) << absent;
  }
  EXPECT_EQ(by_path.at("stages.a.steps").override_index, 0);
  EXPECT_EQ(by_path.at("stages.a.steps").line, 0);
  EXPECT_EQ(by_path.at("levels").override_index, 1);
}

}  // namespace
}  // namespace pixart::config::test
