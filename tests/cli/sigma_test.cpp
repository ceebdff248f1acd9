// A small PixArt-Sigma, as a user would make one: features beforehand, a stage with all that the published
// stages have (shapes, compressed keys and values, CAME, captions of up to 300 tokens, no micro-conditions),
// adapters on top, images, and the report.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "pixart/formats/image_file.h"
#include "process.h"

namespace pixart::testing {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

// With the autoencoder's factor of 16 and patches of 2 x 2, the shape 4.0 has 16 x 4 tokens.
constexpr const char* kRun = R"(run: run
seed: 3
threads: 1
device: cpu
autoencoder: {block_out_channels: [4, 4, 4, 4, 4], layers_per_block: 1, norm_num_groups: 2}
text_encoder: {max_tokens: 300, d_model: 16, num_layers: 1, num_heads: 2, d_ff: 16, clean_captions: false}
transformer: {patch_size: 2, hidden_size: 36, depth: 2, num_heads: 2}
sources:
  - {name: images, type: table, path: images.jsonl, captions: [{name: long, weight: 6}, {name: short, weight: 4}]}
  - {name: held_out, type: table, path: held_out.jsonl, captions: [{name: long}]}
stages:
  - {name: autoencoder, objective: autoencoder, source: images, resolution: 64, steps: 1, batch_size: 2}
  - name: sigma
    objective: text_conditional
    source: images
    resolution: 256
    multi_scale: true
    micro_conditions: false
    aspect_buckets: true
    position_scale: 0.5
    kv_compression: {sampling: conv, factor: 2, layers: [1]}
    steps: 4
    batch_size: 2
    precision: bfloat16
    optimizer: {name: came}
    lr_schedule: {warmup_steps: 0}
    validation: {every: 2, source: held_out, samples: 2}
    samples: {every: 2, num_steps: 2, prompts: [a red circle]}
    checkpoints: {every: 2}
  - name: style
    objective: text_conditional
    source: images
    resolution: 256
    multi_scale: true
    micro_conditions: false
    aspect_buckets: true
    position_scale: 0.5
    kv_compression: {sampling: conv, factor: 2, layers: [1]}
    steps: 2
    batch_size: 2
    init: {how: copy, from: sigma}
    lora: {rank: 2}
    samples: {num_steps: 2, prompts: [a red circle]}
)";

// More than the 120 tokens of PixArt-alpha.
std::string long_caption(int i) {
  std::string text = "image " + std::to_string(i);
  for (int word = 0; word < 200; ++word) text += word % 2 == 0 ? " of red" : " and blue";
  return text;
}

class Sigma : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    for (const char* list : {"images", "held_out"}) {
      std::string rows;
      for (int i = 0; i < 4; ++i) {
        Image image(i % 2 == 0 ? 40 : 160, 40);
        for (size_t k = 0; k < image.rgb.size(); ++k) image.rgb[k] = uint8_t(k * size_t(i + 3) % 251);
        const std::string name = list + std::to_string(i) + ".png";
        formats::save_png(path(name), image);
        rows +=
            nlohmann::json{{"image", name}, {"long", long_caption(i)}, {"short", "red " + std::to_string(i)}}
                .dump();
        rows += "\n";
      }
      write_text(path(list + std::string(".jsonl")), rows);
    }
    write_text(path("run.yaml"), kRun);
    autoencoder_ = pixart({"train", "run.yaml", "--stage", "autoencoder"});
    extracted_ = pixart({"extract", "run.yaml"});
    features_ = times_below("run/features");
    trained_ = pixart({"train", "run.yaml"});
  }
  static void TearDownTestSuite() { folder_.reset(); }
  void SetUp() override {
    for (const auto* result : {&autoencoder_, &extracted_, &trained_})
      ASSERT_EQ(result->code, 0) << result->output;
  }
  static ProcessResult pixart(const std::vector<std::string>& arguments) {
    return run_pixart(arguments, folder_->path());
  }
  static fs::path path(const std::string& name) { return *folder_ / name; }
  static std::string text_of(const fs::path& file) {
    std::ifstream stream(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(stream), {}};
  }
  static std::map<std::string, fs::file_time_type> times_below(const std::string& folder) {
    std::map<std::string, fs::file_time_type> times;
    for (const auto& name : files_below(path(folder)))
      if (name.starts_with("images-")) times[name] = fs::last_write_time(path(folder) / name);
    return times;
  }
  inline static std::unique_ptr<TemporaryFolder> folder_;
  inline static ProcessResult autoencoder_, extracted_, trained_;
  inline static std::map<std::string, fs::file_time_type> features_;  // as extract left them
};

TEST_F(Sigma, TrainsOnFeaturesThatWereMadeBeforehand) {
  EXPECT_FALSE(features_.empty());
  EXPECT_EQ(times_below("run/features"), features_);
  EXPECT_EQ(pixart({"extract", "run.yaml", "--verify"}).code, 0);
  EXPECT_THAT(text_of(path("run/features/images-captions/manifest.json")),
              HasSubstr(R"("max_tokens": "300")"));
  EXPECT_THAT(extracted_.output, HasSubstr("longer than text_encoder.max_tokens = 300"));
  std::vector<std::string> check = {"data",   "check",       "run.yaml",        "--source",
                                    "images", "--tokenizer", "run/text_encoder"};
  EXPECT_THAT(pixart(check).output, HasSubstr("longer than 300"));
  check.insert(check.end(), {"--max-tokens", "120"});
  EXPECT_THAT(pixart(check).output, HasSubstr("longer than 120"));
}

TEST_F(Sigma, StagesHaveEverythingThatTheSecondPaperAdds) {
  EXPECT_THAT(trained_.output,
              AllOf(HasSubstr("stage sigma: PixArt-Sigma of"), HasSubstr("stage style: PixArt-Sigma of"),
                    HasSubstr("adapters for diffusers and PEFT in run/lora/style")));
  std::map<std::string, int> losses;
  std::ifstream events(path("run/events.jsonl"));
  for (std::string line; std::getline(events, line);) {
    const auto event = nlohmann::json::parse(line);
    if (event.at("stage") != "sigma") continue;
    for (const char* key : {"loss", "validation_loss", "validation_loss_ema"})
      if (event.contains(key)) ++losses[key];
  }
  EXPECT_EQ(losses["validation_loss"], 2);
  EXPECT_EQ(losses["validation_loss_ema"], 2);
  EXPECT_GT(losses["loss"], 0);
  for (const char* image : {"run/samples/sigma/step-00000002.png", "run/samples/sigma/step-00000004.png",
                            "run/samples/style/step-00000002.png"})
    EXPECT_TRUE(fs::exists(path(image))) << image;
}

TEST_F(Sigma, SamplesAsPublishedInItsShapes) {
  for (const char* stage : {"sigma", "style"}) {
    const std::string out = std::string("tall-") + stage;
    const auto drawn =
        pixart({"sample", "run", long_caption(1), "--stage", stage, "--aspect", "1:4", "--out", out});
    ASSERT_EQ(drawn.code, 0) << drawn.output;
    const Image image = formats::load_image(path(out + "/0000.png"));
    EXPECT_EQ(std::pair(image.height, image.width), std::pair(512, 128));
    const auto text = formats::read_png_text(path(out + "/0000.png"));
    EXPECT_EQ(text.at("sampler"), "dpm_solver_pp");
    EXPECT_EQ(text.at("num_steps"), "20");
    EXPECT_EQ(text.at("guidance"), "4.5");
  }
}

TEST_F(Sigma, TheReportHasItsStages) {
  const auto made =
      pixart({"report", "run", "--preset", std::string(PIXART_SOURCE_DIR) + "/configs/sigma/1024-kv.yaml",
              "--out", "page.html"});
  ASSERT_EQ(made.code, 0) << made.output;
  EXPECT_THAT(text_of(path("page.html")), AllOf(HasSubstr("kv_compression"), HasSubstr("sigma"),
                                                HasSubstr("style"), HasSubstr("ifferences from")));
}

}  // namespace
}  // namespace pixart::testing
