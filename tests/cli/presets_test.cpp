// The presets of the paper as they are, on stand-ins for their data and models: all stages, in bfloat16. Only
// what makes them large is replaced. The environment may name another device than the CPU
// (PIXART_PRESETS_DEVICE), and with PIXART_BIN the program that has it: tests/fake_gpu.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/image_file.h"
#include "pixart/models/t5.h"
#include "pixart/models/vae.h"
#include "pixart/text/tokenizer.h"
#include "process.h"

namespace pixart::testing {
namespace {
namespace fs = std::filesystem;

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kFirstStage = "pixel_dependency_256";

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

fs::path folder_of_presets() { return fs::path(PIXART_SOURCE_DIR) / "configs/paper"; }

std::vector<std::string> found_in(const std::string& text, const std::string& pattern) {
  const std::regex expression(pattern);
  std::vector<std::string> found;
  for (std::sregex_iterator match(text.begin(), text.end(), expression), end; match != end; ++match)
    found.push_back((*match)[1]);
  return found;
}

struct Preset {
  fs::path file;
  std::string run;                  // its folder
  std::vector<std::string> stages;  // in order
  fs::path initial_weights;         // of another run; "" if there are none
};

Preset read_preset(const fs::path& file) {
  const std::string text = read_file(file);
  const auto from = found_in(text, "\n +from: (runs/\\S+)");
  return {.file = file,
          .run = found_in(text, "\nrun: (\\S+)").at(0),
          .stages = found_in(text, "\n  - name: (\\w+)"),
          .initial_weights = from.empty() ? "" : from[0]};
}

// The presets of one stage.
std::vector<Preset> single_presets() {
  std::vector<Preset> result;
  for (const auto& entry : fs::directory_iterator(folder_of_presets()))
    if (entry.path().extension() == ".yaml" && entry.path().filename() != "alpha.yaml")
      result.push_back(read_preset(entry.path()));
  return result;
}

std::string device() {
  const char* name = std::getenv("PIXART_PRESETS_DEVICE");
  return name == nullptr ? "cpu" : name;
}

class Presets : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = std::make_unique<TemporaryFolder>();
    make_data(folder_->path());
    make_models(folder_->path());
  }
  static void TearDownTestSuite() { folder_.reset(); }

  static void train(const Preset& preset) {
    std::vector<std::string> command = {"train", preset.file};
    const auto set = [&](const std::string& setting) { command.insert(command.end(), {"--set", setting}); };
    set("device=" + device());
    set("threads=1");
    set("transformer={patch_size: 2, hidden_size: 36, depth: 2, num_heads: 2}");
    for (const auto& stage : preset.stages) {
      const std::string of_stage = "stages." + stage + ".";
      for (const char* setting : {"steps=2", "batch_size=4", "micro_batch_size=2", "samples.num_steps=2"})
        set(of_stage + setting);
      set(of_stage + "samples.prompts=[" + (stage == kFirstStage ? "heron" : caption(1)) + "]");
    }
    if (preset.stages[0] == kFirstStage) {  // far from its start, whose outputs are zero in every precision
      for (const char* setting : {"steps=20", "optimizer.lr=0.01", "lr_schedule.warmup_steps=0",
                                  "lr_schedule.batch_rule=none", "ema_decay=0.5"})
        set(std::string("stages.") + kFirstStage + "." + setting);
    }
    const auto result = run_pixart(command, folder_->path());
    ASSERT_EQ(result.code, 0) << preset.file << "\n" << result.output;
    EXPECT_THAT(result.output, Not(HasSubstr("fake GPU: "))) << "a race or a fault";
    const bool is_reparameterised =
        std::count(preset.stages.begin(), preset.stages.end(), "alignment_256") > 0;
    EXPECT_EQ(result.output.find("outputs at t = 500 differ by at most") != std::string::npos,
              is_reparameterised)
        << result.output;
    for (const auto& stage : preset.stages)
      for (const char* file : {"model.safetensors", "ema.safetensors"})
        EXPECT_TRUE(fs::exists(last_checkpoint(preset, stage) / file)) << stage << ": " << file;
  }
  static fs::path path(const std::string& name) { return *folder_ / name; }
  static fs::path last_checkpoint(const Preset& preset, const std::string& stage) {
    return path(preset.run) / "checkpoints" / stage /
           fmt::format("step-{:08}", stage == kFirstStage ? 20 : 2);
  }
  static std::unique_ptr<TemporaryFolder> folder_;
};
std::unique_ptr<TemporaryFolder> Presets::folder_;

TEST_F(Presets, RunAllTheirStagesInBfloat16) {
  const Preset alpha = read_preset(folder_of_presets() / "alpha.yaml");
  ASSERT_EQ(alpha.stages.size(), 5);
  ASSERT_NO_FATAL_FAILURE(train(alpha));
  const auto last = last_checkpoint(alpha, alpha.stages.back());
  const auto shown = run_pixart({"inspect", last, "--verify"}, folder_->path());
  EXPECT_EQ(shown.code, 0) << shown.output;

  const auto presets = single_presets();
  ASSERT_EQ(presets.size(), alpha.stages.size());
  for (const auto& preset : presets) {
    ASSERT_EQ(preset.stages.size(), 1) << preset.file;
    ASSERT_EQ(preset.initial_weights.empty(), preset.stages[0] == kFirstStage);
    if (!preset.initial_weights.empty()) {  // what the stage before left: .../<stage>/<step>/ema.safetensors
      const fs::path wanted = path(preset.initial_weights);
      fs::create_directories(wanted.parent_path());
      const std::string before = wanted.parent_path().parent_path().filename();
      fs::copy(last_checkpoint(alpha, before) / "ema.safetensors", wanted);
    }
    ASSERT_NO_FATAL_FAILURE(train(preset));
    fs::remove_all(path(preset.run));
    if (!preset.initial_weights.empty()) {
      const auto parts = preset.initial_weights.begin();
      fs::remove_all(path(*parts) / *std::next(parts));  // the stand-in for another run
    }
  }
}

}  // namespace
}  // namespace pixart::testing
