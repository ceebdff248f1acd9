// pixart data score, and a run that filters and weights its source by the result, as a user would do it.
#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "pixart/base/file.h"
#include "pixart/base/words.h"
#include "process.h"
#include "tiny_clip.h"

namespace pixart::testing {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class DataScore : public ::testing::Test {
 protected:
  DataScore() {
    write_tiny_clip(folder_ / "clip", PIXART_SOURCE_DIR);
    write_tiny_head(folder_ / "head.safetensors");
    std::string yaml = tiny_run_yaml();
    yaml.erase(yaml.find("  - name: class"));
    write_text(folder_ / "run.yaml", yaml);
  }
  std::vector<std::string> score_command(const std::string& out) const {
    return {
        "data", "score", "run.yaml", "--clip",  "clip", "--aesthetic-head", "head.safetensors", "--device",
        "cpu",  "--out", out,        "--batch", "4"};
  }
  ProcessResult score(const std::string& out, std::vector<std::string> more = {}) const {
    auto arguments = score_command(out);
    arguments.insert(arguments.end(), more.begin(), more.end());
    return run_pixart(arguments, folder_.path());
  }
  std::vector<json> lines(const std::string& name) const {
    std::vector<json> result;
    for (const auto& line : lines_of(read_file(folder_ / name))) result.push_back(json::parse(line));
    return result;
  }
  // The run file with scores that keep the better half.
  void filter(const std::string& file) const {
    std::vector<double> values;
    for (const auto& line : lines("scores.jsonl")) values.push_back(line["aesthetic"]);
    std::sort(values.begin(), values.end());
    write_text(
        folder_ / "filtered.yaml",
        replaced(tiny_run_yaml().substr(0, tiny_run_yaml().find("  - name: class")), "count: 48}",
                 fmt::format("count: 48, scores: {{file: {}, limits: [{{name: aesthetic, at_least: {}}}], "
                             "weight_by: aesthetic}}}}",
                             file, values[24])));
  }
  TemporaryFolder folder_;
};

TEST_F(DataScore, ARunFiltersAndWeightsItsSourceByTheScores) {
  const auto scored = score("scores.jsonl");
  ASSERT_EQ(scored.code, 0) << scored.output;
  EXPECT_THAT(scored.output, AllOf(HasSubstr("scenes: 48 of 48 samples accepted"), HasSubstr("clip_cosine"),
                                   HasSubstr("scores: {file: scores.jsonl")));
  ASSERT_EQ(lines("scores.jsonl").size(), 48u);
  filter("scores.jsonl");
  const auto checked = run_pixart({"data", "check", "filtered.yaml"}, folder_.path());
  EXPECT_EQ(checked.code, 0) << checked.output;
  EXPECT_THAT(checked.output, HasSubstr("24 of 48 samples accepted; rejected: 24 score_too_low"));
  const auto ready = run_pixart({"train", "filtered.yaml", "--check"}, folder_.path());
  EXPECT_EQ(ready.code, 0) << ready.output;
  EXPECT_THAT(ready.output, HasSubstr("keep 24 of 48 rows"));

  auto trained =
      run_pixart({"train", "filtered.yaml", "--set", "stages.autoencoder.steps=4"}, folder_.path());
  ASSERT_EQ(trained.code, 0) << trained.output;
  std::set<std::string> left_out;
  for (const auto& line : lines("run/quarantine/scenes.jsonl")) {
    EXPECT_EQ(line["reason"], "score_too_low");
    left_out.insert(line["key"]);
  }
  EXPECT_EQ(left_out.size(), 24u);

  // The same file elsewhere is the same data; another file is not.
  fs::rename(folder_ / "scores.jsonl", folder_ / "moved.jsonl");
  const std::vector<std::string> longer = {"train",          "filtered.yaml",
                                           "--allow-change", "stages.autoencoder.steps",
                                           "--set",          "sources.scenes.scores.file=moved.jsonl"};
  trained = run_pixart(longer, folder_.path());
  EXPECT_EQ(trained.code, 0) << trained.output;
  auto other = read_file(folder_ / "moved.jsonl");
  write_text(folder_ / "moved.jsonl", replaced(other, "\"width\":", "\"width\": "));
  trained = run_pixart({"train", "filtered.yaml", "--set", "stages.autoencoder.steps=12", "--allow-change",
                        "stages.autoencoder.steps", "--set", "sources.scenes.scores.file=moved.jsonl"},
                       folder_.path());
  EXPECT_EQ(trained.code, 78) << trained.output;
  EXPECT_THAT(trained.output,
              AllOf(HasSubstr("file of scores of source scenes"), HasSubstr("its content differs")));
}

TEST_F(DataScore, ARunThatBeganWithoutScoresGetsNone) {
  ASSERT_EQ(score("scores.jsonl").code, 0);
  ASSERT_EQ(run_pixart({"train", "run.yaml", "--set", "stages.autoencoder.steps=4"}, folder_.path()).code, 0);
  filter("scores.jsonl");
  const auto result =
      run_pixart({"train", "filtered.yaml", "--allow-change", "stages.autoencoder.steps"}, folder_.path());
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, HasSubstr("scores"));
}

// As with a source that has no other rows: none is read in the place of one that is left out.
TEST_F(DataScore, ImagesAreHeldOutOfWhatTheScoresKeep) {
  std::string scores, losses[2];
  for (int row = 0; row < 48; ++row)
    scores += fmt::format(R"({{"key": "{}", "w": {}}})", row, row < 8 ? 1 : 0) + "\n";
  write_text(folder_ / "w.jsonl", scores);
  const std::string held_out[2] = {"count: 8",
                                   "count: 48, scores: {file: w.jsonl, limits: [{name: w, at_least: 1}]}"};
  for (int i = 0; i < 2; ++i) {
    const std::string run = fmt::format("run{}", i);
    write_text(
        folder_ / "held_out.yaml",
        fmt::format("run: {}\n"
                    "autoencoder: {{block_out_channels: [8, 8], layers_per_block: 1, norm_num_groups: 4}}\n"
                    "sources:\n"
                    "  - {{name: scenes, type: scenes, count: 48}}\n"
                    "  - {{name: held_out, type: scenes, seed: 5, {}}}\n"
                    "stages:\n"
                    "  - {{name: autoencoder, objective: autoencoder, source: scenes, resolution: 16, "
                    "steps: 2, batch_size: 4, validation: {{every: 2, source: held_out, samples: 8}}}}\n",
                    run, held_out[i]));
    const auto trained = run_pixart({"train", "held_out.yaml"}, folder_.path());
    ASSERT_EQ(trained.code, 0) << trained.output;
    for (const auto& line : lines(run + "/events.jsonl"))
      if (line.contains("validation_loss")) losses[i] += line.dump();
  }
  EXPECT_FALSE(losses[0].empty());
  EXPECT_EQ(losses[0], losses[1]);
}

TEST_F(DataScore, PartsOfSeveralProcessesAndRanksAreOneFile) {
  ASSERT_EQ(score("whole.jsonl").code, 0);
  for (const char* part : {"3/3", "1/3", "2/3"}) {
    const auto result = score("parts.jsonl", {"--part", part});
    EXPECT_EQ(result.code, 0) << result.output;
    EXPECT_EQ(fs::exists(folder_ / "parts.jsonl"), part == std::string("2/3"));
  }
  EXPECT_EQ(read_file(folder_ / "parts.jsonl"), read_file(folder_ / "whole.jsonl"));
  auto launch = score_command("ranks.jsonl");
  launch.insert(launch.begin(), {"launch", "-n", "2", "--"});
  const auto ranks = run_pixart(launch, folder_.path());
  EXPECT_EQ(ranks.code, 0) << ranks.output;
  EXPECT_EQ(lines("ranks.jsonl").size(), 48u);
  const auto wrong = score("parts.jsonl", {"--part", "4/3"});
  EXPECT_EQ(wrong.code, 78) << wrong.output;
  EXPECT_THAT(wrong.output, HasSubstr("--part 4/3"));
  for (const char* metric : {"fid", "isc"}) {
    const auto other = score("other.jsonl", {"--metrics", metric});
    EXPECT_EQ(other.code, 78) << other.output;
    EXPECT_THAT(other.output,
                HasSubstr(fmt::format("unknown metric '{}'; known are clip, aesthetic, pickscore.", metric)));
  }
  const auto folder = score("clip");
  EXPECT_EQ(folder.code, 78) << folder.output;
  EXPECT_THAT(folder.output, HasSubstr("--out clip is a folder: give a file for the scores"));
}

// Interrupted twice: by Ctrl-C, and by kill -9.
TEST_F(DataScore, AStoppedRunContinuesWithTheSameBytes) {
  const std::vector<std::string> many = {"--set", "sources.scenes.count=3000"};
  ASSERT_EQ(score("whole.jsonl", many).code, 0);
  auto arguments = score_command("scores.jsonl");
  arguments.insert(arguments.end(), many.begin(), many.end());
  const fs::path partial = folder_ / "scores.jsonl.partial";
  uintmax_t kept = 0;
  for (const int signal : {SIGINT, SIGKILL}) {
    Process process(arguments, folder_.path());
    std::error_code error;
    while (!process.has_ended() &&
           !(fs::exists(partial, error) && fs::file_size(partial, error) > kept + 2000))
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    process.kill(signal);
    const auto result = process.wait();
    EXPECT_EQ(result.code, signal == SIGINT ? 75 : 128 + SIGKILL) << result.output;
    if (signal == SIGINT) {
      EXPECT_THAT(result.output, HasSubstr("The same command continues"));
    }
    ASSERT_TRUE(fs::exists(partial));
    ASSERT_FALSE(fs::exists(folder_ / "scores.jsonl"));
    kept = fs::file_size(partial);
  }
  const auto result = score("scores.jsonl", many);
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(read_file(folder_ / "scores.jsonl"), read_file(folder_ / "whole.jsonl"));
  const auto other = score("scores.jsonl", {"--metrics", "clip"});
  EXPECT_EQ(other.code, 78) << other.output;
  EXPECT_THAT(other.output, HasSubstr("another protocol"));
}

}  // namespace
}  // namespace pixart::testing
