// Stages that encode images and captions in their steps (encode), next to stored features.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Strings = std::vector<std::string>;

constexpr int kImages = 24;
const Strings kImagesOnTheFly = {"stages.text.encode.latents=on_the_fly"},
              kCaptionsOnTheFly = {"stages.text.encode.captions=on_the_fly"},
              kOnTheFly = {kImagesOnTheFly[0], kCaptionsOnTheFly[0]};

std::string text_of(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

Strings joined(Strings a, const Strings& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

class OnTheFly : public ::testing::Test {
 protected:
  // A run whose autoencoder is trained, and a text encoder that all others use.
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    fs::create_directories(path("images"));
    fs::create_directories(path("held_out"));
    for (int i = 0; i < kImages; ++i) add_image("images", i, 40 + i % 5);
    for (int i = 0; i < 4; ++i) add_image("held_out", 100 + i, 40);
    fs::resize_file(path("images/05.png"), 1000);
    fs::create_directories(path("sizes"));  // 60 x 40 pixels, or 30 x 20
    for (int i = 0; i < 12; ++i) add_image("sizes", i, i % 3 == 0 ? 30 : 60, i % 3 == 0 ? 20 : 40);
    std::string text = replaced(tiny_run_yaml(), "threads: 2", "threads: 1");
    text = replaced(text, "{name: scenes, type: scenes, count: 48}",
                    "{name: scenes, type: image_folder, path: images, quarantine_budget: 0.1}\n"
                    "  - {name: held_out, type: image_folder, path: held_out}");
    const size_t begin = text.find("  - name: class"), end = text.find("  - name: text");
    text = text.erase(begin, end - begin);
    text = replaced(text, "    init: {how: reparameterize, from: class}\n", "");
    text = text.substr(0, text.find("  - name: larger"));
    text = replaced(text, "log_every: 5", "log_every: 1\n    horizontal_flip: true");
    text = replaced(text, "steps: 30", "steps: 50");
    write_text(path("run.yaml"), text);
    ASSERT_EQ(pixart({"train", "run.yaml", "--stage", "autoencoder"}).code, 0);
    ASSERT_EQ(pixart({"extract", "run.yaml", "--what", "captions"}).code, 0);
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static fs::path path(const std::string& name) { return *folder_ / name; }
  static ProcessResult pixart(const Strings& arguments) { return run_pixart(arguments, folder_->path()); }
  static void add_image(const std::string& folder, int number, int width, int height = 36) {
    Image image(height, width);
    uint32_t noise = uint32_t(number + 1) * 2654435761u;
    for (auto& value : image.rgb) value = uint8_t((noise = noise * 1664525 + 1013904223) >> 24);
    const std::string stem = (path(folder) / fmt::format("{:02}", number)).string();
    formats::save_png(stem + ".png", image);
    write_text(stem + ".txt", fmt::format("image {} of noise", number));
  }
  static void fresh_run(const std::string& run) {
    for (const char* encoder : {"autoencoder", "text_encoder"}) {
      fs::create_directories(path(run));
      fs::copy(path("run") / encoder, path(run) / encoder, fs::copy_options::recursive);
    }
  }
  static Strings command(const std::string& run, const Strings& settings, const Strings& more = {}) {
    Strings all = {"train", "run.yaml", "--stage", "text", "--set", "run=" + run};
    for (const auto& setting : settings) all.insert(all.end(), {"--set", setting});
    return joined(all, more);
  }
  // Trains the stage in a run of its own.
  static std::string train(const std::string& run, const Strings& settings, int ranks = 1) {
    fresh_run(run);
    const auto own = command(run, settings);
    const auto result = pixart(ranks == 1 ? own : joined({"launch", "-n", std::to_string(ranks), "--"}, own));
    EXPECT_EQ(result.code, 0) << result.output;
    return result.output;
  }
  static std::vector<double> losses(const std::string& run) {
    std::vector<double> result;
    std::ifstream events(path(run) / "events.jsonl");
    for (std::string line; std::getline(events, line);) {
      const auto event = nlohmann::json::parse(line);
      if (event.contains("loss")) result.push_back(event.at("loss"));
    }
    return result;
  }
  static std::string weights(const std::string& run, const std::string& step = "step-00000050") {
    return text_of(path(run) / "checkpoints/text" / step / "model.safetensors");
  }
  static void expect_close(const std::string& a, const std::string& b, size_t steps) {
    const auto first = losses(a), second = losses(b);
    ASSERT_EQ(first.size(), steps);
    ASSERT_EQ(second.size(), steps);
    for (size_t i = 0; i < steps; ++i) EXPECT_NEAR(first[i], second[i], 1e-5) << "step " << i + 1;
  }

  static std::unique_ptr<TemporaryFolder> folder_;
};
std::unique_ptr<TemporaryFolder> OnTheFly::folder_;

// An image is damaged; the same one takes its place at each position, as with stored features.
TEST_F(OnTheFly, FiftyStepsHaveTheLossesOfStoredFeatures) {
  train("stored", {});
  EXPECT_TRUE(fs::exists(path("stored/features/scenes-latents-32-mirrored/manifest.json")));
  train("fly", kOnTheFly);
  EXPECT_FALSE(fs::exists(path("fly/features")));
  expect_close("stored", "fly", 50);
  EXPECT_THAT(text_of(path("fly/quarantine/scenes.jsonl")),
              AllOf(HasSubstr("05.png"), HasSubstr("damaged_picture")));
  EXPECT_EQ(text_of(path("fly/quarantine/scenes.jsonl")), text_of(path("stored/quarantine/scenes.jsonl")));
  const Strings float8 = {"features.caption_dtype=float8_e4m3fn", "stages.text.steps=12"};
  train("stored8", float8);
  train("captions8", joined(float8, kCaptionsOnTheFly));
  EXPECT_FALSE(fs::exists(path("captions8/features/scenes-captions")));
  expect_close("stored8", "captions8", 12);
}

TEST_F(OnTheFly, NeitherRanksNorThreadsChangeABit) {
  const Strings exact = joined(kOnTheFly, {"numerics=exact", "stages.text.steps=10"});
  train("one", exact);
  const std::string whole = weights("one", "step-00000010");
  ASSERT_FALSE(whole.empty());
  train("two", exact, 2);
  EXPECT_TRUE(weights("two", "step-00000010") == whole);
  EXPECT_EQ(losses("two"), losses("one"));
  for (const char* threads : {"0", "4"}) {
    const std::string run = std::string("threads") + threads;
    train(run, joined(exact, {std::string("loader.threads=") + threads}));
    EXPECT_TRUE(weights(run, "step-00000010") == whole) << threads;
  }
}

TEST_F(OnTheFly, AStoppedStageContinuesBitForBit) {
  const Strings cropped = joined(kOnTheFly, {"stages.text.encode.random_crop=true", "stages.text.steps=20"});
  train("whole", cropped);
  fresh_run("parts");
  EXPECT_EQ(pixart(command("parts", cropped, {"--stop-at-step", "7"})).code, 75);
  EXPECT_EQ(pixart(command("parts", cropped)).code, 0);
  EXPECT_TRUE(weights("parts", "step-00000020") == weights("whole", "step-00000020"));
  EXPECT_EQ(losses("parts"), losses("whole"));
  train("centre", joined(kOnTheFly, {"stages.text.steps=20"}));
  EXPECT_NE(losses("centre"), losses("whole"));
}

TEST_F(OnTheFly, AnImageThatIsReplacedMeanwhileEndsTheStage) {
  fs::copy(path("images"), path("changing"), fs::copy_options::recursive);
  const Strings settings = joined(kImagesOnTheFly, {"sources.scenes.path=changing", "stages.text.steps=20"});
  fresh_run("changed");
  ASSERT_EQ(pixart(command("changed", settings, {"--stop-at-step", "8"})).code, 75);  // all were read
  const auto size = fs::file_size(path("changing/03.png"));
  for (int number = 200; fs::file_size(path("changing/03.png")) != size || number == 200; ++number) {
    ASSERT_LT(number, 1000);
    add_image("changing", number, 43);
    fs::rename(path("changing") / fmt::format("{}.png", number), path("changing/03.png"));
    fs::remove(path("changing") / fmt::format("{}.txt", number));
  }
  const auto result = pixart(command("changed", settings));
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("1 images are not those"), HasSubstr("03.png")));
}

TEST_F(OnTheFly, MoreBadImagesThanTheBudgetEndTheRun) {
  fresh_run("strict");
  const auto result =
      pixart(command("strict", joined(kImagesOnTheFly, {"sources.scenes.quarantine_budget=0"})));
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, AllOf(HasSubstr("05.png"), HasSubstr("quarantine_budget = 0 of 24")));
}

TEST_F(OnTheFly, HeldOutLossesAreOfStoredFeatures) {
  const Strings validated = {"stages.text.steps=6", "stages.text.validation={every: 3, source: held_out}"};
  train("held", joined(kOnTheFly, validated));
  EXPECT_TRUE(fs::exists(path("held/features/held_out-latents-32/manifest.json")));
  EXPECT_TRUE(fs::exists(path("held/features/held_out-captions/manifest.json")));
  EXPECT_FALSE(fs::exists(path("held/features/scenes-captions")));
  EXPECT_THAT(text_of(path("held/events.jsonl")), HasSubstr("validation_loss"));
}

// The sizes of all images are read first, because the order depends on them.
TEST_F(OnTheFly, AspectBucketsHaveTheLossesOfStoredFeatures) {
  fs::create_directories(path("shapes"));
  for (int i = 0; i < 8; ++i) add_image("shapes", i, i % 2 == 0 ? 60 : 30, 40);
  const Strings shaped = {"sources.scenes.path=shapes",        "stages.text.resolution=256",
                          "stages.text.multi_scale=true",      "stages.text.aspect_buckets=true",
                          "stages.text.micro_conditions=true", "stages.text.steps=4",
                          "stages.text.batch_size=2"};
  train("buckets", shaped);
  train("buckets-fly", joined(shaped, kImagesOnTheFly));
  expect_close("buckets", "buckets-fly", 4);
  EXPECT_TRUE(fs::exists(path("buckets-fly/features/scenes-sizes.safetensors")));
  EXPECT_FALSE(fs::exists(path("buckets-fly/features/scenes-latents-256-aspect-mirrored")));
}

// Eight images fill squares of 32 pixels, and four only squares of 16.
const Strings kTwoResolutions = {"sources.scenes.path=sizes",
                                 "stages.text.multi_scale=true",
                                 "stages.text.resolutions=[{side: 16}, {side: 32}]",
                                 "stages.text.micro_batch_size=1",
                                 "stages.text.batch_size=4",
                                 "stages.text.steps=8"};

TEST_F(OnTheFly, SeveralResolutionsTrainTogetherContinueAndAreDrawn) {
  const std::string log = train("sizes-whole", kTwoResolutions);
  EXPECT_THAT(log, HasSubstr("an epoch has 4 of 16 pixels, 8 of 32 pixels"));
  EXPECT_TRUE(fs::exists(path("sizes-whole/features/scenes-latents-16-32-mirrored/manifest.json")));
  fresh_run("sizes-parts");
  EXPECT_EQ(pixart(command("sizes-parts", kTwoResolutions, {"--stop-at-step", "3"})).code, 75);
  EXPECT_EQ(pixart(command("sizes-parts", kTwoResolutions)).code, 0);
  EXPECT_EQ(losses("sizes-parts"), losses("sizes-whole"));
  const std::string step = "step-00000008";
  EXPECT_TRUE(weights("sizes-parts", step) == weights("sizes-whole", step));
  train("sizes-fly", joined(kTwoResolutions, kImagesOnTheFly));
  expect_close("sizes-whole", "sizes-fly", 8);
  for (const char* side : {"16", "32"}) {
    const auto drawn =
        pixart({"sample", "sizes-whole", "an image", "--height", side, "--width", side, "--out", side});
    ASSERT_EQ(drawn.code, 0) << drawn.output;
    EXPECT_EQ(formats::load_image(path(side) / "0000.png").height, std::stoi(side));
  }
}

TEST_F(OnTheFly, SeveralResolutionsHaveTheSameBitsOnTwoRanks) {
  const Strings exact =
      joined(kTwoResolutions, {"numerics=exact", "stages.text.steps=5", "stages.text.resolution_rule=share"});
  train("sizes-one", exact);
  train("sizes-two", exact, 2);
  EXPECT_TRUE(fs::exists(path("sizes-one/features/scenes-latents-16-32-shared-mirrored/manifest.json")));
  EXPECT_EQ(losses("sizes-two"), losses("sizes-one"));
  EXPECT_TRUE(weights("sizes-two", "step-00000005") == weights("sizes-one", "step-00000005"));
}

TEST_F(OnTheFly, CommandsTellOfResolutionsAndRefuseWrongOnes) {
  const auto run = [&](Strings arguments) {
    for (const auto& setting : kTwoResolutions) arguments.insert(arguments.end(), {"--set", setting});
    return pixart(arguments);
  };
  EXPECT_THAT(run({"data", "check", "run.yaml", "--source", "scenes"}).output,
              AllOf(HasSubstr("buckets of stage text"), HasSubstr("    32          8  32 x 32, ratio 1.0")));
  EXPECT_THAT(run({"plan", "run.yaml", "--gpu", "cpu"}).output,
              AllOf(HasSubstr("at 16 px"), HasSubstr("micro-batches of 4 (largest"), HasSubstr("at 32 px"),
                    HasSubstr("50 % have 16 pixels, 50 % have 32 pixels")));
  fresh_run("sizes-check");
  for (const auto& [setting, message] : std::map<std::string, std::string>{
           {"stages.text.resolutions=[{side: 20}, {side: 32}]", "resolution 20 is not a multiple of 8"},
           {"stages.text.resolutions=[{side: 16}, {side: 24}]",
            "resolution 32 is not one of resolutions (16, 24)"},
           {"stages.text.resolutions=[{side: 32}, {side: 16}]", "resolutions must rise"},
           {"stages.text.resolutions=[{size: 32}]", "side"},
           {"stages.text.resolution_rule=smallest", "largest"},
           {"stages.text.multi_scale=false", "resolutions needs multi_scale: true"},
           {"stages.text.aspect_buckets=true", "aspect_buckets exist for the resolutions"}}) {
    const auto refused = pixart(command("sizes-check", joined(kTwoResolutions, {setting}), {"--check"}));
    EXPECT_EQ(refused.code, 78) << setting << refused.output;
    EXPECT_THAT(refused.output, HasSubstr(message)) << setting;
  }
}

TEST_F(OnTheFly, CommandsSayWhatIsNotStored) {
  Strings extract = {"extract", "run.yaml", "--set", "features.path=none"};
  for (const auto& setting : kOnTheFly) extract.insert(extract.end(), {"--set", setting});
  const auto extracted = pixart(extract);
  EXPECT_EQ(extracted.code, 0) << extracted.output;
  EXPECT_THAT(extracted.output, AllOf(HasSubstr("stage text: no latents are made"),
                                      HasSubstr("no features of captions are made")));
  EXPECT_FALSE(fs::exists(path("none")));
  const auto plan = [&](const Strings& settings) {
    Strings all = {"plan", "run.yaml"};
    for (const auto& setting : settings) all.insert(all.end(), {"--set", setting});
    return pixart(all).output;
  };
  EXPECT_THAT(plan({}), Not(HasSubstr("more FLOP per sample")));
  EXPECT_THAT(plan(kOnTheFly), HasSubstr("more FLOP per sample"));
  const auto check =
      pixart(command("fly-check", kOnTheFly, {"--check", "--set", "text_encoder.path=nowhere"}));
  EXPECT_EQ(check.code, 78);
  EXPECT_THAT(check.output, HasSubstr("nowhere"));
}

}  // namespace
}  // namespace pixart::testing
