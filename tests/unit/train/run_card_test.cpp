#include "pixart/train/run_card.h"

#include "scratch_folder.h"

namespace pixart::train {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Key;
using ::testing::Not;
using ::testing::Pair;
using ::testing::SizeIs;

constexpr const char* kRun = R"(
run: runs/mine
transformer: {patch_size: 2, hidden_size: 48, depth: 1, num_heads: 2}
autoencoder: {path: /data/vae}
sources:
  - {name: web, type: image_folder, path: images}
  - {name: other, type: image_folder, path: other}
stages:
  - {name: class, objective: class_conditional, source: other, resolution: 32, steps: 10, batch_size: 4}
  - {name: text, objective: text_conditional, source: web, resolution: 32, steps: 20, batch_size: 4, prediction: v,
     init: {how: copy, from: /data/start.pth}, samples: {prompts: [a cat, a dog]}, checkpoints: {every: 5}}
  - {name: late, objective: text_conditional, source: web, resolution: 32, steps: 30, batch_size: 4,
     init: {how: copy, from: text}}
)";

class RunCard : public testing::ScratchFolder {
 protected:
  RunCard() {
    put("run.yaml", kRun);
    put("features/web-latents/manifest.json",
        R"({"kind":"latents","source":"web","rows":100,"rejected":2,"inputs":{},"shards":[]})");
    put("quarantine/web.jsonl", "{\"row\":1,\"key\":\"a\",\"reason\":\"missing_caption\"}\n");
    for (const int step : {5, 10, 20}) {
      put(fmt::format("samples/text/step-{:08}.png", step), "\x89PNG\r\n\x1a\n" + std::to_string(step));
      put(fmt::format("metrics/text/step-{:08}.json", step),
          fmt::format(R"({{"kind":"pixart score, 1","scores":{{"fid":{}}},"protocol":{{"resize":"clean"}}}})",
                      step));
    }
  }
  void put(const std::string& name, const std::string& bytes) const {
    fs::create_directories((folder_ / name).parent_path());
    write(name, bytes);
  }
  convert::CardFacts facts(const std::string& stage, int64_t step) const {
    return card_of({.run = folder_, .stage = stage, .step = step, .is_ema = true},
                   run::read_run_config(folder_ / "run.yaml"));
  }
  convert::CardFacts facts_as_trained(const std::string& stage, int64_t step) const {
    return card_of({.run = folder_, .stage = stage, .step = step},
                   run::read_run_config(folder_ / "run.yaml"));
  }
  void change(const std::string& from, const std::string& to) const {
    std::string text = kRun;
    text.replace(text.find(from), from.size(), to);
    put("run.yaml", text);
  }
};

TEST_F(RunCard, ShowsTheStagesThatTheWeightsComeFrom) {
  const auto card = facts("late", 30);
  ASSERT_THAT(card.stages, SizeIs(2));
  EXPECT_EQ(card.stages[0].name, "text");
  EXPECT_THAT(card.stages[0].settings, Contains(Pair("prediction", "v")));
  EXPECT_THAT(card.stages[0].settings, Contains(Pair("init.from", "start.pth")))
      << "no folders of this machine";
  EXPECT_THAT(card.stages[0].settings, Not(Contains(Key("checkpoints.every"))));
  EXPECT_THAT(card.stages[1].settings, Contains(Pair("step of these weights", "30")));
  EXPECT_THAT(facts("class", 10).stages, SizeIs(1));
}

TEST_F(RunCard, ShowsTheDataAndWhatWasRejected) {
  const auto card = facts("text", 20);
  ASSERT_THAT(card.sources, SizeIs(1)) << "the stage does not train on the other source";
  EXPECT_EQ(card.sources[0].rows, 100);
  EXPECT_EQ(card.sources[0].rejected, 1);
  EXPECT_EQ(card.sources[0].why, "1 missing_caption");
}

TEST_F(RunCard, ShowsNothingOfLaterSteps) {
  const auto card = facts("text", 12);
  ASSERT_THAT(card.samples, SizeIs(1));
  EXPECT_EQ(card.samples[0].file.filename(), "step-00000010.png");
  EXPECT_EQ(card.samples[0].text, "a cat; a dog");
  ASSERT_THAT(card.scores, SizeIs(1));
  EXPECT_EQ(card.scores[0].name, "text, step 10");
  EXPECT_THAT(card.scores[0].values, ElementsAre(Pair("fid", 10)));
  EXPECT_THAT(facts("text", 1).samples, IsEmpty());
}

// A card is for others.
TEST_F(RunCard, ShowsNoFolderOfThisMachine) {
  change(
      "samples: {prompts: [a cat, a dog]}",
      "metrics: {every: 5, images: 4, source: other, scores: [cmmd], reference: /data/real, clip: /data/clip}, "
      "exclude: /data/bad.jsonl");
  for (const char* from : {"/data/weights/", "\"/data/a: b/weights\"", "/data/./weights"}) {
    const auto yaml = testing::ScratchFolder::read(folder_ / "run.yaml");
    std::string other = yaml;
    other.replace(other.find("/data/start.pth"), std::string("/data/start.pth").size(), from);
    put("run.yaml", other);
    for (const auto& [name, value] : facts("text", 20).stages.at(0).settings) {
      EXPECT_THAT(value, Not(HasSubstr("/data"))) << name;
      EXPECT_TRUE(name != "init.from" || value == "weights") << value;
    }
    put("run.yaml", yaml);
  }
}

TEST_F(RunCard, SaysWhichWeightsTheScoresAndImagesAreOf) {
  put("metrics/text/step-00000020.json",
      R"({"kind":"pixart score, 1","scores":{"fid":9},"protocol":{"sampling":{"weights":"average"}}})");
  put("scores/old/score.json", R"({"kind":"pixart score, 1","scores":{"fid":1},"protocol":{}})");
  const auto ema = facts("text", 20), trained = facts_as_trained("text", 20);
  EXPECT_THAT(ema.stages.back().settings, Contains(Pair("these weights", "EMA")));
  EXPECT_THAT(trained.stages.back().settings, Contains(Pair("these weights", "as trained, not the EMA")));
  ASSERT_THAT(ema.scores, SizeIs(2));
  ASSERT_THAT(trained.scores, SizeIs(2));
  EXPECT_EQ(ema.scores[0].name, "scores/old/score.json (of which weights is not known)");
  EXPECT_EQ(ema.scores[1].name, "text, step 20");
  EXPECT_EQ(trained.scores[1].name, "text, step 20 (of the EMA, not of these weights)");
  EXPECT_EQ(ema.samples.at(0).text, "a cat; a dog");
  EXPECT_EQ(trained.samples.at(0).text, "a cat; a dog (of the EMA, not of these weights)");
  change("prediction: v", "prediction: v, ema_decay: 0");
  EXPECT_EQ(facts_as_trained("text", 20).scores.at(1).name, "text, step 20") << "both are the same";
}

TEST_F(RunCard, ADamagedImageIsLeftOut) {
  put("samples/text/step-00000020.png", "");
  EXPECT_THAT(facts("text", 20).samples, IsEmpty());
}

TEST_F(RunCard, FindsTheRunOfACheckpoint) {
  put("checkpoints/text/step-00000020/ema.safetensors", "");
  for (const char* path :
       {"checkpoints/text/step-00000020", "checkpoints/text/step-00000020/ema.safetensors"}) {
    const auto place = checkpoint_place(folder_ / path);
    ASSERT_TRUE(place) << path;
    EXPECT_EQ(place->run, fs::canonical(folder_));
    EXPECT_EQ(place->stage, "text");
    EXPECT_EQ(place->step, 20);
    EXPECT_EQ(place->is_ema, fs::path(path).has_extension());
  }
  for (const char* path : {"", "run.yaml", "checkpoints/text", "checkpoints", "gone/a/step-00000020/x"})
    EXPECT_FALSE(checkpoint_place(folder_ / path)) << path;
}

TEST_F(RunCard, AScoreIsACardOrRefused) {
  const auto score = card_score(folder_ / "metrics/text/step-00000005.json");
  EXPECT_EQ(score.values.at(0).second, 5);
  EXPECT_EQ(score.name, "step-00000005.json");
  put("fid/score.json", read(folder_ / "metrics/text/step-00000005.json"));
  EXPECT_EQ(card_score(folder_ / "fid/score.json").name, "fid/score.json") << "all cards have this name";
  EXPECT_THAT(testing::refusal([&] { card_score(folder_ / "run.yaml"); }),
              HasSubstr("is not a card of pixart score"));
}

}  // namespace
}  // namespace pixart::train
