// Golden kinds blip_vqa (its answers), image_reward and hpsv2_pixels, and what is refused.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "clip_metrics.h"
#include "clip_pixels.h"
#include "formula_inception.h"
#include "golden.h"
#include "pixart/formats/image_file.h"
#include "pixart/score/score.h"
#include "pixart/score/vqa.h"
#include "pixart/text/clip_tokenizer.h"
#include "scratch_folder.h"
#include "tiny_clip.h"

namespace pixart::score {
namespace {

namespace fs = std::filesystem;
using testing::expect_golden;
using testing::golden_cases;
using ::testing::HasSubstr;

class Blip : public testing::ScratchFolder {
 protected:
  // The image of a golden case as a file; `named` is [name, height, width].
  fs::path image_file(const nlohmann::json& named, const std::string& file) const {
    formats::save_png(folder_ / file,
                      testing::formula_image(named.at(0).get<std::string>(), named.at(1), named.at(2)));
    return folder_ / file;
  }
  static BlipVqaOptions options_of(const testing::GoldenCase& c, int64_t batch_size = 4) {
    return {.path = (c.folder / c.config().at("model").get<std::string>()).string(),
            .allow_other_size = true,
            .device = "cpu",
            .batch_size = batch_size};
  }
  std::vector<VisualQuestion> questions_of(const testing::GoldenCase& c) const {
    std::vector<VisualQuestion> questions;
    for (const auto& asked : c.json.at("questions")) {
      const std::string file = asked.at("image").at(0).get<std::string>() + ".png";
      questions.push_back({.image = image_file(asked.at("image"), file).string(),
                           .question = asked.at("question").get<std::string>()});
    }
    return questions;
  }
};

// float32 sums in another order: logits differ by about 3e-6.
TEST_F(Blip, AnswersAsTheReferenceInBothLayouts) {
  for (const auto& c : golden_cases("blip_vqa")) {
    SCOPED_TRACE(c.name);
    const auto questions = questions_of(c);
    std::string protocol;
    const auto answers = load_blip_vqa(options_of(c), &protocol)(questions);
    ASSERT_EQ(answers.size(), questions.size());
    for (size_t i = 0; i < answers.size(); ++i)
      EXPECT_NEAR(answers[i], c.json.at("questions")[i].at("yes").get<double>(), 1e-5) << i;
    EXPECT_EQ(nlohmann::json::parse(protocol).at("side"), c.config().at("side"));
    EXPECT_EQ(nlohmann::json::parse(protocol).at("weights_sha256").get<std::string>().size(), 64U);
  }
}

TEST_F(Blip, TheAnswerDependsOnNoOtherQuestion) {
  const auto c = golden_cases("blip_vqa").front();
  auto questions = questions_of(c);
  const auto together = load_blip_vqa(options_of(c, 100))(questions);
  const auto alone = load_blip_vqa(options_of(c, 1));
  EXPECT_TRUE(alone({}).empty());
  for (size_t i = 0; i < questions.size(); ++i) EXPECT_NEAR(alone({questions[i]})[0], together[i], 1e-6) << i;
  questions[0].question += "!#( ";
  EXPECT_NEAR(alone({questions[0]})[0], together[0], 1e-6) << "marks that BLIP removes";
}

TEST_F(Blip, WhatCannotBeUsedIsRefusedAtOnce) {
  const auto c = golden_cases("blip_vqa").front();
  auto options = options_of(c);
  options.allow_other_size = false;
  EXPECT_THAT(testing::refusal([&] { check_blip_vqa(options); }), HasSubstr("sees 24 x 24 pixels"));
  options.tokenizer = folder_.string();
  const std::string why = testing::refusal([&] { load_blip_vqa(options); });
  EXPECT_THAT(why, HasSubstr("24 x 24"));
  EXPECT_THAT(why, HasSubstr("neither vocab.txt nor tokenizer.json"));
  options = options_of(c);
  write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nno\n");
  options.tokenizer = folder_.string();
  EXPECT_THAT(testing::refusal([&] { check_blip_vqa(options); }), HasSubstr("no token yes"));
  std::string many = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nno\nyes\n";
  for (int i = 0; i < 100; ++i) many += fmt::format("{}\n", i);
  write("vocab.txt", many);
  EXPECT_THAT(testing::refusal([&] { check_blip_vqa(options); }), HasSubstr("do not belong together"));
}

TEST_F(Blip, EveryImageThatCannotBeReadIsNamed) {
  const auto c = golden_cases("blip_vqa").front();
  auto questions = questions_of(c);
  for (const char* name : {"first.png", "second.png"})
    questions.push_back({.image = write(name, "no image").string(), .question = "a cat?"});
  const std::string why = testing::refusal([&] { load_blip_vqa(options_of(c, 1))(questions); });
  EXPECT_THAT(why, HasSubstr("first.png"));
  EXPECT_THAT(why, HasSubstr("second.png"));
}

class Reward : public Blip {
 protected:
  Reward() : case_(golden_cases("image_reward").front()) {
    fs::create_directories(folder_ / "images");
    std::string prompts;
    for (const auto& image : case_.json.at("images")) {
      image_file(image.at("image"), fmt::format("images/{}.png", count_++));
      prompts += image.at("prompt").get<std::string>() + "\n";
      sum_ += image.at("reward").get<double>();
    }
    write("prompts.txt", prompts);
  }
  ScoreRequest request() const {
    return {.metrics = {Metric::kImageReward},
            .images = folder_ / "images",
            .prompts = folder_ / "prompts.txt",
            .image_reward = case_.folder / case_.config().at("weights").get<std::string>(),
            .batch_size = 4,
            .device = "cpu"};
  }
  testing::GoldenCase case_;
  int count_ = 0;
  double sum_ = 0;
};

TEST_F(Reward, IsThatOfTheReference) {
  const auto result = score(request());
  ASSERT_EQ(result.values.size(), 2U);
  EXPECT_EQ(result.values[0].first, "image_reward");
  EXPECT_NEAR(result.values[0].second, sum_ / count_, 2e-5);
  EXPECT_THAT(result.notes, ::testing::ElementsAre(HasSubstr("1 of 6 prompts have more than 35 tokens")));
  const auto card = nlohmann::json::parse(result.card);
  EXPECT_EQ(card["protocol"]["image_reward"]["side"], 24);
  EXPECT_FALSE(card["protocol"].contains("network")) << "FID's network is not used";
  EXPECT_EQ(card["images"]["sha256"].get<std::string>().size(), 64U);
  auto one = request();
  one.num_images = 1;
  EXPECT_NEAR(score(one).values[0].second, case_.json.at("images")[0].at("reward").get<double>(), 2e-5);
}

TEST_F(Reward, NamesAllThatIsMissing) {
  auto wrong = request();
  wrong.image_reward.clear(), wrong.prompts.clear();
  const std::string why = testing::refusal([&] { score(wrong); });
  EXPECT_THAT(why, HasSubstr("--image-reward"));
  EXPECT_THAT(why, HasSubstr("image 0 has no prompt"));
  wrong = request();
  wrong.image_reward = golden_cases("blip_vqa").back().folder / "model" / "model_vqa.pth";
  EXPECT_THAT(testing::refusal([&] { score(wrong); }), HasSubstr("no tensor visual_encoder.cls_token"));
}

TEST(Golden, Hpsv2Pixels) {
  for (const auto& c : golden_cases("hpsv2_pixels")) {
    const int side = c.config().at("side");
    for (const auto& [name, size] : c.config().at("sizes").items()) {
      auto planes = hpsv2_input(testing::formula_image(name, size.at(0), size.at(1)), side);
      expect_golden(c, "out." + name, at::from_blob(planes.data(), {3, side, side}, at::kFloat).clone());
    }
  }
}

// A hundred times the cosine, of other pixels than those of clip.
TEST_F(Reward, Hpsv2IsACosineOfItsOwnPixels) {
  testing::write_tiny_clip(folder_ / "clip", PIXART_SOURCE_DIR);
  auto asked = request();
  asked.clip = folder_ / "clip";
  asked.metrics = {Metric::kHpsv2, Metric::kClip, Metric::kImageReward};
  const auto result = score(asked);
  const std::map<std::string, double> values(result.values.begin(), result.values.end());
  const auto clip = models::load_clip(folder_ / "clip", at::kCPU);
  const text::ClipTokenizer tokenizer(folder_ / "clip");
  double sum = 0;
  for (const auto& image : case_.json.at("images")) {
    const auto& named = image.at("image");
    auto planes =
        hpsv2_input(testing::formula_image(named.at(0).get<std::string>(), named.at(1), named.at(2)), 24);
    const auto pixels = at::from_blob(planes.data(), {1, 3, 24, 24}, at::kFloat);
    const auto ids =
        tokenizer.encode_batch({image.at("prompt").get<std::string>()}, 12, text::ClipCleaning::kOpenAi).ids;
    const at::NoGradGuard no_grad;
    sum += clip_similarity(normalized_rows(clip.model->image_features(pixels)),
                           normalized_rows(clip.model->text_features(ids)))
               .cosine;
  }
  EXPECT_NEAR(values.at("hpsv2"), 100 * sum / count_, 1e-4);
  EXPECT_NEAR(values.at("image_reward"), sum_ / count_, 2e-5);
  EXPECT_GT(std::abs(values.at("hpsv2") - 100 * values.at("clip_cosine")), 1e-3);
  EXPECT_THAT(result.card, HasSubstr("hpsv2_pixels"));
}

}  // namespace
}  // namespace pixart::score
