// The presets of the paper as they are, on stand-ins for their data and models: all stages, in bfloat16 on
// the CPU. Only what makes them large is replaced.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "pixart/base/error.h"
#include "pixart/formats/image_file.h"
#include "pixart/models/t5.h"
#include "pixart/models/vae.h"
#include "pixart/text/tokenizer.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::HasSubstr;

constexpr const char* kStages[] = {"pixel_dependency_256", "alignment_256", "aesthetics_256",
                                   "aesthetics_512", "aesthetics_1024ms"};

std::string caption(int i) { return fmt::format("an image of number {} in two colours", i); }

void save_image(const fs::path& path, int i) {
  Image image(i % 2 == 0 ? 40 : 64, 40);
  for (size_t k = 0; k < image.rgb.size(); ++k) image.rgb[k] = uint8_t(k * size_t(i + 3) % 251);
  fs::create_directories(path.parent_path());
  formats::save_png(path, image);
}

// Where the presets look for them, below `folder`.
void make_data(const fs::path& folder) {
  constexpr int kImages = 4;
  for (const char* name : {"imagenet/train/heron", "imagenet/train/otter", "sam", "journeydb", "internal"}) {
    const fs::path source = folder / "data" / name;
    const bool has_captions = std::string(name).find('/') == std::string::npos,
               is_sam = name == fs::path("sam");
    nlohmann::json list = nlohmann::json::array();
    std::string part;
    for (int i = 0; i < kImages; ++i) {
      save_image(is_sam ? source / "images" / fmt::format("sa_{}.jpg", i) : source / fmt::format("{}.png", i),
                 i);
      list.push_back({{"path", fmt::format("{}.png", i)}, {"prompt", caption(i)}});
      part += fmt::format("sa_{}\n", i);
      if (!is_sam) continue;
      fs::create_directories(source / "captions");
      write_text(source / "captions" / fmt::format("sa_{}.txt", i), caption(i));
    }
    if (!has_captions) continue;
    fs::create_directories(source / "partition");
    write_text(source / "partition" / (is_sam ? "part0.txt" : "list.json"), is_sam ? part : list.dump());
  }
}

// Random weights; the autoencoder's factor is 16, so that 1024 pixels are 1,024 tokens.
void make_models(const fs::path& folder) {
  const fs::path vae_folder = folder / "pretrained/sd-vae-ft-ema",
                 t5_folder = folder / "pretrained/t5-v1_1-xxl";
  fs::create_directories(vae_folder), fs::create_directories(t5_folder);
  models::VaeConfig vae;
  vae.block_out_channels = {4, 4, 4, 4, 4}, vae.layers_per_block = 1, vae.norm_num_groups = 2;
  nn::StateDict vae_state;
  const models::AutoencoderKl autoencoder(nn::Scope(vae_state), vae);
  models::initialize(vae_state, vae, 1);
  models::save_vae(vae_folder, vae, vae_state);

  std::vector<std::string> captions;
  for (int i = 0; i < 10; ++i) captions.push_back(caption(i));
  text::train_tokenizer(captions, 100, t5_folder / "spiece.model");
  models::T5Config t5;
  t5.vocab_size = text::Tokenizer(t5_folder).vocab_size();
  t5.d_model = 32, t5.num_layers = 1, t5.num_heads = 2, t5.d_kv = 16, t5.d_ff = 32;
  nn::StateDict t5_state;
  const models::T5Encoder encoder(nn::Scope(t5_state), t5);
  models::initialize(t5_state, t5, 2, 3.0);
  models::save_t5(t5_folder, encoder, t5_state);
}

std::string preset(const std::string& name) { return fs::path(PIXART_SOURCE_DIR) / "configs/paper" / name; }

class Presets : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    make_data(folder_->path());
    make_models(folder_->path());
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static ProcessResult train(const std::string& name, const std::vector<std::string>& stages) {
    std::vector<std::string> command = {"train", preset(name)};
    const auto set = [&](const std::string& setting) { command.insert(command.end(), {"--set", setting}); };
    set("device=cpu");
    set("threads=1");
    set("transformer={patch_size: 2, hidden_size: 36, depth: 2, num_heads: 2}");
    for (const auto& stage : stages) {
      const std::string of_stage = "stages." + stage + ".";
      for (const char* setting : {"steps=2", "batch_size=4", "micro_batch_size=2", "samples.num_steps=2"})
        set(of_stage + setting);
      set(of_stage + "samples.prompts=[" + (stage == kStages[0] ? "heron" : caption(1)) + "]");
    }
    if (stages[0] == kStages[0]) {  // far from its start, whose outputs are zero in every precision
      for (const char* setting : {"steps=20", "optimizer.lr=0.01", "lr_schedule.warmup_steps=0",
                                  "lr_schedule.batch_rule=none", "ema_decay=0.5"})
        set(std::string("stages.") + kStages[0] + "." + setting);
    }
    return run_pixart(command, folder_->path());
  }
  static fs::path path(const std::string& name) { return *folder_ / name; }
  static fs::path checkpoint(const std::string& run, const std::string& stage, int step) {
    return path("runs") / run / "checkpoints" / stage / fmt::format("step-{:08}", step);
  }
  static std::unique_ptr<TemporaryFolder> folder_;
};
std::unique_ptr<TemporaryFolder> Presets::folder_;

TEST_F(Presets, AlphaRunsAllItsStagesInBfloat16) {
  const auto result = train("alpha.yaml", {std::begin(kStages), std::end(kStages)});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("outputs at t = 500 differ by at most"));
  for (const char* stage : kStages) {
    const fs::path last = checkpoint("alpha", stage, stage == std::string(kStages[0]) ? 20 : 2);
    EXPECT_TRUE(fs::exists(last / "model.safetensors")) << last;
    EXPECT_TRUE(fs::exists(last / "ema.safetensors")) << last;
  }
  const auto shown = run_pixart({"inspect", checkpoint("alpha", kStages[4], 2), "--verify"}, folder_->path());
  EXPECT_EQ(shown.code, 0) << shown.output;

  // The preset of stage 2 alone, from what stage 1 left.
  const fs::path from = checkpoint("alpha-1-pixel-dependency-256", kStages[0], 300000);
  fs::create_directories(from);
  fs::copy(checkpoint("alpha", kStages[0], 20) / "ema.safetensors", from);
  const auto alone = train("2-alignment-256.yaml", {"alignment_256"});
  ASSERT_EQ(alone.code, 0) << alone.output;
  EXPECT_TRUE(fs::exists(checkpoint("alpha-2-alignment-256", "alignment_256", 2) / "ema.safetensors"));
}

}  // namespace
}  // namespace pixart::testing
