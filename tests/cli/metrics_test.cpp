// Scores of drawn images during training: they change nothing, are the same on every number of ranks, and come back
// after a kill.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <thread>

#include "pixart/formats/image_file.h"
#include "process.h"
#include "tiny_clip.h"

namespace pixart::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kSource = "  - {name: scenes, type: scenes, count: 48}";
const std::string kClassSamples = "    samples: {num_steps: 2, prompts: [red circle]}\n";
const std::string kTextSamples =
    "    samples: {num_steps: 2, prompts: [a red circle on a white background]}\n    checkpoints: {every: 5}";

std::string text_of(const fs::path& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

std::string plain_yaml() {
  std::string yaml = replaced(tiny_run_yaml(), "threads: 2", "threads: 1\nnumerics: exact");
  return replaced(yaml, kSource, kSource + "\n  - {name: held_out, type: scenes, count: 9, seed: 77}");
}

std::string with_metrics() {
  const std::string common =
      "    metrics: {every: 10, images: 6, reference: real, clip: clip, aesthetic_head: head.safetensors, ";
  const std::string yaml = replaced(plain_yaml(), kClassSamples,
                                    kClassSamples + common + "guidance: 2, scores: [cmmd, aesthetic]}\n");
  return replaced(yaml, kTextSamples,
                  common + "source: held_out, scores: [cmmd, clip, aesthetic]}\n" + kTextSamples);
}

// A model, a head and real images.
class MetricsInTraining : public ::testing::Test {
 protected:
  MetricsInTraining() {
    write_tiny_clip(folder_ / "clip", PIXART_SOURCE_DIR);
    write_tiny_head(folder_ / "head.safetensors");
    fs::create_directories(folder_ / "real");
    for (const char* name : {"p", "q", "r", "s"})
      formats::save_png(folder_ / "real" / (std::string(name) + ".png"), formula_image(name, 40, 32));
    write_text(folder_ / "plain.yaml", plain_yaml());
    write_text(folder_ / "metrics.yaml", with_metrics());
  }
  ProcessResult train(const std::string& file, const std::vector<std::string>& more, int ranks = 1) const {
    std::vector<std::string> all = {"launch", "-n", std::to_string(ranks), "--timeout", "120", "--",
                                    "train",  file};
    all.insert(all.end(), more.begin(), more.end());
    return run_pixart(all, folder_.path());
  }
  const TemporaryFolder folder_;
};

std::pair<std::string, int> without_scores(const std::string& events) {
  std::string kept;
  int scores = 0;
  std::istringstream lines(events);
  for (std::string line; std::getline(lines, line);) {
    if (line.find("metric_") == std::string::npos)
      kept += line + "\n";
    else
      ++scores;
  }
  return {kept, scores};
}

// Not one bit of the training, on one rank and on two.
TEST_F(MetricsInTraining, ChangeNothingAndAreTheSameOnTwoRanks) {
  const auto plain = train("plain.yaml", {"--set", "run=plain"});
  ASSERT_EQ(plain.code, 0) << plain.output;
  const auto one = train("metrics.yaml", {"--set", "run=one"});
  ASSERT_EQ(one.code, 0) << one.output;
  const auto two = train("metrics.yaml", {"--set", "run=two"}, 2);
  ASSERT_EQ(two.code, 0) << two.output;
  EXPECT_EQ(final_hashes(folder_ / "plain"), final_hashes(folder_ / "one"));
  EXPECT_EQ(final_hashes(folder_ / "plain"), final_hashes(folder_ / "two"));
  const std::string events = text_of(folder_ / "one/events.jsonl");
  const auto [kept, scores] = without_scores(events);
  EXPECT_EQ(kept, text_of(folder_ / "plain/events.jsonl"));
  EXPECT_EQ(scores, 3 + 3);
  EXPECT_EQ(events, text_of(folder_ / "two/events.jsonl"));
  for (const char* stage : {"class", "text"})
    for (const int step : {10, 20, 30}) {
      const std::string name = fmt::format("metrics/{}/step-{:08}.json", stage, step);
      EXPECT_EQ(text_of(folder_ / "one" / name), text_of(folder_ / "two" / name)) << name;
    }
}

TEST_F(MetricsInTraining, HaveACardAndACurve) {
  const auto run = train("metrics.yaml", {});
  ASSERT_EQ(run.code, 0) << run.output;
  EXPECT_THAT(run.output,
              AllOf(HasSubstr("stage text, step 20: "), HasSubstr("clip_cosine "), HasSubstr("6 images in")));
  const auto card = nlohmann::json::parse(text_of(folder_ / "run/metrics/class/step-00000020.json"));
  EXPECT_EQ(card["protocol"]["num_images"], 6);
  EXPECT_EQ(card["protocol"]["sampling"]["guidance"], fmt::format("{}", 2.0));
  EXPECT_EQ(card["protocol"]["sampling"]["num_steps"], "2");
  EXPECT_EQ(card["protocol"]["reference"]["num_images"], 4);
  const auto& scores = card["scores"];
  EXPECT_TRUE(scores.contains("cmmd") && scores.contains("aesthetic") && !scores.contains("clip_cosine"));
  const std::string line = fmt::format("\"step\":20,\"metric_aesthetic\":{}", scores["aesthetic"].dump());
  EXPECT_THAT(text_of(folder_ / "run/events.jsonl"), HasSubstr(line));
  const std::string one = "run/metrics/text/step-00000010.json",
                    other = "run/metrics/text/step-00000030.json";
  EXPECT_EQ(run_pixart({"score", "--compare", one, other}, folder_.path()).code, 0) << "the same protocol";
  ASSERT_EQ(run_pixart({"report", "run"}, folder_.path()).code, 0);
  EXPECT_THAT(
      text_of(folder_ / "run/report.html"),
      AllOf(HasSubstr("Aesthetic score (6 images)"), HasSubstr("CMMD (6 images)"),
            HasSubstr("Scores: 6 images, reference real, CLIP clip, dpm_solver_pp, 2 steps, guidance 2."),
            HasSubstr("Scores: 6 images of held_out, reference real, CLIP clip")));
}

// The images of a suite that pixart sample draws with the same settings have the protocol of the run's own scores.
TEST_F(MetricsInTraining, CompareWithImagesOfSample) {
  write_text(folder_ / "suite.txt", "a red circle\na blue square\na green circle\n");
  write_text(folder_ / "suite.yaml", replaced(with_metrics(), "source: held_out, ", "suite: suite.txt, "));
  ASSERT_EQ(train("suite.yaml", {}).code, 0);
  const auto drawn = run_pixart({"sample", "run", "--stage", "text", "--suite", "suite.txt", "--steps", "2",
                                 "--seed", "3", "--out", "drawn"},
                                folder_.path());
  ASSERT_EQ(drawn.code, 0) << drawn.output;
  const auto scored =
      run_pixart({"score", "drawn", "--reference", "real", "--metrics", "cmmd,clip,aesthetic", "--clip",
                  "clip", "--aesthetic-head", "head.safetensors", "--out", "scored", "--device", "cpu"},
                 folder_.path());
  ASSERT_EQ(scored.code, 0) << scored.output;
  const auto compared = run_pixart(
      {"score", "--compare", "run/metrics/text/step-00000030.json", "scored/score.json"}, folder_.path());
  EXPECT_EQ(compared.code, 0) << compared.output;
}

// As if the process had been killed between the save of the last step and its scores. The settings may change.
TEST_F(MetricsInTraining, AreMadeUpForAfterAKill) {
  for (const char* stage : {"autoencoder", "class"}) {
    const auto run = train("metrics.yaml", {"--stage", stage});
    ASSERT_EQ(run.code, 0) << run.output;
  }
  const fs::path file = folder_ / "run/events.jsonl";
  const std::string whole = text_of(file);
  const size_t last = whole.rfind("{\"stage\":\"class\",\"step\":30,\"metric_");
  ASSERT_NE(last, std::string::npos);
  write_text(file, whole.substr(0, last));
  const auto again = train("metrics.yaml", {"--stage", "class"});
  EXPECT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(text_of(file), whole);
  write_text(file, whole.substr(0, last));
  const auto fewer = train("metrics.yaml", {"--stage", "class", "--set", "stages.class.metrics.images=5"});
  EXPECT_EQ(fewer.code, 0) << fewer.output;
  EXPECT_THAT(text_of(file).substr(last), HasSubstr("\"metric_images\":5"));
  const auto ended = train("metrics.yaml", {"--stage", "class"});
  EXPECT_THAT(ended.output, HasSubstr("stage class: already finished"));
}

// Between two steps of a sampler; the state is saved already, and the next start draws all images again.
TEST_F(MetricsInTraining, ARequestToStopEndsTheirDrawing) {
  const auto arguments = [](const std::string& run, const std::string& stage) {
    return std::vector<std::string>{"train",   "metrics.yaml",
                                    "--stage", stage,
                                    "--set",   "run=" + run,
                                    "--set",   "stages.class.metrics.sampler=ddim",
                                    "--set",   "stages.class.metrics.num_steps=300"};
  };
  for (const char* run : {"whole", "stopped"})
    ASSERT_EQ(run_pixart(arguments(run, "autoencoder"), folder_.path()).code, 0);
  ASSERT_EQ(run_pixart(arguments("whole", "class"), folder_.path()).code, 0);
  Process process(arguments("stopped", "class"), folder_.path());
  while (!fs::exists(folder_ / "stopped/checkpoints/class/step-00000010/manifest.json")) {
    ASSERT_FALSE(process.has_ended()) << process.wait().output;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  process.kill(SIGTERM);
  const auto stopped = process.wait();
  EXPECT_EQ(stopped.code, 75) << stopped.output;
  EXPECT_FALSE(fs::exists(folder_ / "stopped/metrics/class/step-00000020.json"));
  ASSERT_EQ(run_pixart(arguments("stopped", "class"), folder_.path()).code, 0);
  EXPECT_EQ(text_of(folder_ / "whole/events.jsonl"), text_of(folder_ / "stopped/events.jsonl"));
  const std::string card = "metrics/class/step-00000010.json";
  EXPECT_EQ(text_of(folder_ / "whole" / card), text_of(folder_ / "stopped" / card));
}

TEST_F(MetricsInTraining, TheirCaptionsAreThoseThatTheScoresOfTheSourceKeep) {
  write_text(folder_ / "scores.csv", "key,w\n0,1\n1,0\n2,0\n3,0\n");
  const auto checked =
      run_pixart({"train", "metrics.yaml", "--check", "--set", "sources.held_out.scores.file=scores.csv",
                  "--set", "sources.held_out.scores.weight_by=w"},
                 folder_.path());
  EXPECT_EQ(checked.code, 78) << checked.output;
  EXPECT_THAT(checked.output, HasSubstr("source held_out has 1 prompt; at least 2 images"));
}

TEST_F(MetricsInTraining, TheirPathsAreCheckedBeforeARun) {
  fs::remove(folder_ / "head.safetensors");
  fs::remove_all(folder_ / "real");
  const auto checked = run_pixart({"train", "metrics.yaml", "--check"}, folder_.path());
  EXPECT_EQ(checked.code, 78) << checked.output;
  EXPECT_THAT(checked.output, AllOf(HasSubstr("stage class: its metrics cannot be computed"),
                                    HasSubstr("real"), HasSubstr("head.safetensors")));
  EXPECT_FALSE(fs::exists(folder_ / "run"));
}

// In the words of the run file, not of an option.
TEST_F(MetricsInTraining, AMissingSuiteIsNamedByItsKey) {
  write_text(folder_ / "suite.yaml", replaced(with_metrics(), "source: held_out", "suite: none.txt"));
  const auto checked = run_pixart({"train", "suite.yaml", "--check"}, folder_.path());
  EXPECT_EQ(checked.code, 78) << checked.output;
  EXPECT_THAT(checked.output, AllOf(HasSubstr("metrics.suite: none.txt does not exist"),
                                    ::testing::Not(HasSubstr("--suite"))));
}

// A source with fewer prompts than a score needs is refused together with the other problems.
TEST_F(MetricsInTraining, NeedAsManyPromptsAsTheirScores) {
  const std::string few = replaced(with_metrics(), "count: 9, seed: 77", "count: 3, seed: 77");
  write_text(folder_ / "few.yaml",
             replaced(few, "scores: [cmmd, clip, aesthetic]",
                      "weights: head.safetensors, scores: [aesthetic, precision-recall]"));
  const auto checked = run_pixart({"train", "few.yaml", "--check"}, folder_.path());
  EXPECT_EQ(checked.code, 78) << checked.output;
  EXPECT_THAT(checked.output,
              AllOf(HasSubstr("source held_out has 3 prompts"), HasSubstr("at least 4 images"),
                    HasSubstr("not weights of Inception v3")));
  // CLIP's cosine needs one image, CMMD needs two.
  write_text(folder_ / "one.txt", "a red circle\n");
  const auto of_one = [&](const std::string& keys) {
    std::string yaml = replaced(with_metrics(), "source: held_out", "suite: one.txt");
    yaml = replaced(yaml, "aesthetic_head: head.safetensors, suite", "suite");
    write_text(folder_ / "one.yaml", replaced(yaml, "scores: [cmmd, clip, aesthetic]", keys));
    return run_pixart({"train", "one.yaml", "--check"}, folder_.path());
  };
  const auto two = of_one("scores: [clip, cmmd]");
  EXPECT_EQ(two.code, 78) << two.output;
  EXPECT_THAT(two.output,
              AllOf(HasSubstr("its metrics cannot be computed: metrics: the suite one.txt has 1 prompt; at "
                              "least 2 images are needed for clip, cmmd"),
                    ::testing::Not(HasSubstr("computed: stage"))));
}

}  // namespace
}  // namespace pixart::testing
