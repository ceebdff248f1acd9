// The commands on a tiny run, as a user would give them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "process.h"

namespace pixart::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

// One finished run for all tests of this file.
class FinishedRun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new TemporaryFolder;
    write_text(*folder_ / "run.yaml", tiny_run_yaml());
    result_ = run_pixart({"train", "run.yaml"}, folder_->path());
  }
  static void TearDownTestSuite() { delete folder_; }
  static ProcessResult pixart(const std::vector<std::string>& arguments) {
    return run_pixart(arguments, folder_->path());
  }
  static fs::path path(const std::string& name) { return *folder_ / name; }
  static TemporaryFolder* folder_;
  static ProcessResult result_;
};
TemporaryFolder* FinishedRun::folder_ = nullptr;
ProcessResult FinishedRun::result_;

TEST_F(FinishedRun, TrainsAllStages) {
  ASSERT_EQ(result_.code, 0) << result_.output;
  EXPECT_THAT(result_.output, HasSubstr("re-parameterised from the class-conditional model"));
  for (const char* file :
       {"run/run.yaml", "run/events.jsonl", "run/autoencoder/config.json", "run/text_encoder/spiece.model",
        "run/checkpoints/text/step-00000030/ema.safetensors", "run/samples/text/step-00000030.png",
        "run/samples/autoencoder/step-00000008.png", "run/checkpoints/larger/step-00000006/state.json"})
    EXPECT_TRUE(fs::exists(path(file))) << file;
}

TEST_F(FinishedRun, WritesOneEventPerStep) {
  std::ifstream stream(path("run/events.jsonl"));
  std::map<std::string, int64_t> last;
  for (std::string line; std::getline(stream, line);) {
    const auto event = nlohmann::json::parse(line);
    EXPECT_EQ(event.at("step").get<int64_t>(), last[event.at("stage")] + 1);
    EXPECT_TRUE(event.at("loss").is_number());
    last[event.at("stage")] = event.at("step");
  }
  EXPECT_EQ(last,
            (std::map<std::string, int64_t>{{"autoencoder", 8}, {"class", 30}, {"text", 30}, {"larger", 6}}));
}

TEST_F(FinishedRun, KeepsTheLastCheckpointsOnly) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path("run/checkpoints/class")))
    names.push_back(entry.path().filename());
  EXPECT_THAT(names, ::testing::UnorderedElementsAre("step-00000025", "step-00000030"));
}

TEST_F(FinishedRun, SecondTrainDoesNothing) {
  const auto before = final_hashes(path("run"));
  const auto again = pixart({"train", "run.yaml"});
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("stage text: finished already"));
  EXPECT_EQ(before, final_hashes(path("run")));
}

TEST_F(FinishedRun, ResolvedConfigReadsBack) {
  const auto result = pixart({"train", "run/run.yaml", "--check"});
  EXPECT_EQ(result.code, 0) << result.output;
}

TEST_F(FinishedRun, SamplesPicturesAndAGrid) {
  const auto result =
      pixart({"sample", "run", "a red circle on a white background", "a blue cross on a gray background",
              "--count", "2", "--steps", "3", "--out", "pictures"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_EQ(files_below(path("pictures")),
            (std::vector<std::string>{"0000.png", "0001.png", "0002.png", "0003.png", "grid.png"}));
}

TEST_F(FinishedRun, SamplesClassesAndIddpm) {
  const auto result = pixart({"sample", "run", "red circle", "--stage", "class", "--sampler", "iddpm",
                              "--steps", "4", "--out", "classes"});
  EXPECT_EQ(result.code, 0) << result.output;
}

TEST_F(FinishedRun, EvaluatesScenes) {
  const auto result = pixart({"evaluate", "run"});
  ASSERT_EQ(result.code, 0) << result.output;
  std::ifstream stream(path("run/score.json"));
  const auto score = nlohmann::json::parse(stream);
  EXPECT_GE(score.at("judge_truth").get<double>(), 97.0);
  for (const char* key : {"background", "color", "shape", "all", "all_heldout"})
    EXPECT_TRUE(score.at("stage2").contains(key)) << key;
  EXPECT_TRUE(score.contains("stage3"));
  EXPECT_GT(score.at("seconds").get<double>(), 0.0);
}

TEST_F(FinishedRun, EvaluateFailsBelowABar) {
  fs::copy(path("run"), path("barred"), fs::copy_options::recursive);
  std::ofstream(path("barred/run.yaml"), std::ios::app) << "";
  std::ifstream stream(path("barred/run.yaml"));
  std::string text((std::istreambuf_iterator<char>(stream)), {});
  const auto at = text.find("\nevaluation:");
  if (at != std::string::npos) text = text.substr(0, at + 1);
  write_text(path("barred/run.yaml"),
             text + "evaluation: {seen: 4, held_out: 4, bars: [{metric: stage2.all, at_least: 100.1}]}\n");
  const auto result = pixart({"evaluate", "barred"});
  EXPECT_EQ(result.code, 72) << result.output;
  EXPECT_THAT(result.output, HasSubstr("stage2.all is"));
}

TEST_F(FinishedRun, InspectsAndVerifiesACheckpoint) {
  const std::string folder = "run/checkpoints/text/step-00000030";
  const auto result = pixart({"inspect", folder, "--tensors", "--verify"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("blocks.0.cross_attn.kv_linear.weight"));
  EXPECT_THAT(result.output, HasSubstr("hashes agree"));
  const auto json = pixart({"inspect", folder + "/ema.safetensors", "--json"});
  EXPECT_EQ(nlohmann::json::parse(json.output).at(0).at("metadata").at("architecture"), "PixArt");
}

TEST_F(FinishedRun, DamagedCheckpointIsNoticedAndThePreviousUsed) {
  fs::copy(path("run"), path("damaged"), fs::copy_options::recursive);
  const fs::path file = path("damaged/checkpoints/larger/step-00000006/model.safetensors");
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(-5, std::ios::end);
  stream.put('\x55');
  stream.close();
  const auto inspected = pixart({"inspect", file.parent_path().string(), "--verify"});
  EXPECT_EQ(inspected.code, 78);
  EXPECT_THAT(inspected.output, HasSubstr("model.safetensors was changed"));
  const auto trained = pixart({"train", "run.yaml", "--set", "run=damaged"});
  EXPECT_EQ(trained.code, 0) << trained.output;
  EXPECT_THAT(trained.output, HasSubstr("Falling back"));
  EXPECT_EQ(final_hashes(path("run")), final_hashes(path("damaged")));
}

TEST(Commands, HelpAndVersion) {
  const TemporaryFolder folder;
  const auto help = run_pixart({"--help"}, folder.path());
  EXPECT_EQ(help.code, 0);
  for (const char* word : {"train", "sample", "evaluate", "inspect", "doctor", "Examples", "75"})
    EXPECT_THAT(help.output, HasSubstr(word));
  for (const char* command : {"train", "sample", "evaluate", "inspect", "doctor", "config-reference"}) {
    const auto result = run_pixart({command, "--help"}, folder.path());
    EXPECT_EQ(result.code, 0) << command;
    EXPECT_THAT(result.output, HasSubstr("Example")) << command;
  }
  EXPECT_THAT(run_pixart({"--version"}, folder.path()).output, HasSubstr("pixart 0."));
}

TEST(Commands, DoctorReports) {
  const TemporaryFolder folder;
  const auto result = run_pixart({"doctor"}, folder.path());
  EXPECT_EQ(result.code, 0);
  EXPECT_THAT(result.output, HasSubstr("LibTorch           2.11"));
  EXPECT_THAT(result.output, HasSubstr("GPU"));
}

}  // namespace
}  // namespace pixart::testing
