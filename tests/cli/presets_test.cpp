// The presets of both papers as they are, on stand-ins for their data and models: all stages, in bfloat16. Only
// what makes them large is replaced. The environment may name another device than the CPU
// (PIXART_PRESETS_DEVICE), and with PIXART_BIN the program that has it: tests/fake_gpu.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <regex>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/formats/image_file.h"
#include "pixart/formats/tensor_file.h"
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

// Of more than 120 tokens, which PixArt-alpha would cut.
std::string long_caption(int i) {
  std::string text = caption(i);
  for (int k = 0; k < 15; ++k) text += fmt::format(", {}", caption(i + k));
  return text;
}

void save_image(const fs::path& path, int i, int tall_height) {
  Image image(i % 2 == 0 ? 40 : tall_height, 40);
  for (size_t k = 0; k < image.rgb.size(); ++k) image.rgb[k] = uint8_t(k * size_t(i + 3) % 251);
  fs::create_directories(path.parent_path());
  formats::save_png(path, image);
}

// Where the presets of PixArt-alpha look for them, below `folder`.
void make_data(const fs::path& folder) {
  constexpr int kImages = 4, kTall = 64;
  for (const char* name : {"imagenet/train/heron", "imagenet/train/otter", "sam", "journeydb", "internal"}) {
    const fs::path source = folder / "data" / name;
    const bool has_captions = std::string(name).find('/') == std::string::npos,
               is_sam = name == fs::path("sam");
    nlohmann::json list = nlohmann::json::array();
    std::string part;
    for (int i = 0; i < kImages; ++i) {
      save_image(is_sam ? source / "images" / fmt::format("sa_{}.jpg", i) : source / fmt::format("{}.png", i),
                 i, kTall);
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

// The same for PixArt-Sigma. The tall image has the proportions of the shape 4.0, whose sides are multiples of
// the patches at every resolution.
void make_sigma_data(const fs::path& folder) {
  constexpr int kImages = 2, kTall = 160;
  for (const char* name : {"sigma-internal", "sigma-aesthetic", "sigma-large"}) {
    const fs::path source = folder / "data" / name;
    nlohmann::json list = nlohmann::json::array();
    for (int i = 0; i < kImages; ++i) {
      save_image(source / fmt::format("{}.png", i), i, kTall);
      list.push_back(
          {{"path", fmt::format("{}.png", i)}, {"prompt", caption(i)}, {"sharegpt4v", long_caption(i)}});
    }
    fs::create_directories(source / "partition");
    write_text(source / "partition/list.json", list.dump());
  }
}

// With random weights and this number of levels, of which each but the first halves the side.
void make_autoencoder(const fs::path& folder, size_t levels, double scaling_factor) {
  fs::create_directories(folder);
  models::VaeConfig config;
  config.block_out_channels.assign(levels, 4);
  config.layers_per_block = 1, config.norm_num_groups = 2, config.scaling_factor = scaling_factor;
  nn::StateDict state;
  const models::AutoencoderKl autoencoder(nn::Scope(state), config);
  models::initialize(state, config, 1);
  models::save_vae(folder, config, state);
}

// The factors of the autoencoders are 16 and 32, so that 1024 and 2048 pixels are 1,024 tokens.
void make_models(const fs::path& folder) {
  make_autoencoder(folder / "pretrained/sd-vae-ft-ema", 5, 0.18215);
  make_autoencoder(folder / "pretrained/sdxl-vae-fp16-fix", 6, 0.13025);
  const fs::path t5_folder = folder / "pretrained/t5-v1_1-xxl";
  fs::create_directories(t5_folder);
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

fs::path file_of(const std::string& name) { return fs::path(PIXART_SOURCE_DIR) / "configs" / name; }

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
  std::string initial_weights;      // a file; "" if it has none
  bool in_full_size = true;         // its images have the preset's resolution
};

Preset read_preset(const fs::path& file) {
  const std::string text = read_file(file);
  const auto from = found_in(text, "\n +from: (\\S+/\\S+)");
  return {.file = file,
          .run = found_in(text, "\nrun: (\\S+)").at(0),
          .stages = found_in(text, "\n  - name: (\\w+)"),
          .initial_weights = from.empty() ? "" : from[0]};
}

// The presets of one stage, next to the file that has all stages.
std::vector<Preset> presets_next_to(const fs::path& chain) {
  std::vector<Preset> result;
  for (const auto& entry : fs::directory_iterator(chain.parent_path()))
    if (entry.path().extension() == ".yaml" && entry.path() != chain)
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
    make_sigma_data(folder_->path());
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
      if (!preset.in_full_size) set(of_stage + "resolution=256");
      if (stage.ends_with("_kv")) set(of_stage + "kv_compression.layers=[1]");
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
  // The stages of PixArt-alpha, which are trained once.
  static const Preset& alpha() {
    static const Preset preset = [] {
      const Preset read = read_preset(file_of("paper/alpha.yaml"));
      train(read);
      return read;
    }();
    return preset;
  }
  // Trains the presets of one stage, each from what the stage before it in the chain has left.
  static void train_each(const Preset& chain, const std::vector<Preset>& presets) {
    ASSERT_EQ(presets.size(), chain.stages.size());
    for (const auto& preset : presets) {
      ASSERT_EQ(preset.stages.size(), 1) << preset.file;
      ASSERT_EQ(preset.initial_weights.empty(), preset.stages[0] == kFirstStage);
      const bool is_of_a_run = preset.initial_weights.starts_with("runs/");
      const fs::path wanted = path(preset.initial_weights);  // .../<stage>/<step>/ema.safetensors
      if (is_of_a_run) {
        fs::create_directories(wanted.parent_path());
        const std::string before = wanted.parent_path().parent_path().filename();
        fs::copy(last_checkpoint(chain, before) / "ema.safetensors", wanted);
      }
      ASSERT_NO_FATAL_FAILURE(train(preset));
      fs::remove_all(path(preset.run));
      if (is_of_a_run) {  // the stand-in for another run
        const fs::path weights = preset.initial_weights;
        fs::remove_all(path(*weights.begin()) / *std::next(weights.begin()));
      }
    }
  }
  static std::map<std::string, at::Tensor> weights_of(const fs::path& file) {
    return formats::load_safetensors(file).tensors;
  }
  static std::map<std::string, at::Tensor> weights_of(const Preset& preset, const std::string& stage) {
    return weights_of(last_checkpoint(preset, stage) / "model.safetensors");
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
  ASSERT_EQ(alpha().stages.size(), 5);
  ASSERT_FALSE(HasFatalFailure());
  const auto shown =
      run_pixart({"inspect", last_checkpoint(alpha(), "aesthetics_1024ms"), "--verify"}, folder_->path());
  EXPECT_EQ(shown.code, 0) << shown.output;
  train_each(alpha(), presets_next_to(alpha().file));
}

// On a GPU of the tests, and one by one, the stages have images of 256 pixels: all else is the preset's.
TEST_F(Presets, OfSigmaGoFromAlphaToKvCompression) {
  alpha();
  ASSERT_FALSE(HasFatalFailure());
  Preset sigma = read_preset(file_of("sigma/sigma.yaml"));
  ASSERT_EQ(sigma.stages.size(), 6);
  const auto start = last_checkpoint(alpha(), "aesthetics_256") / "ema.safetensors";
  const auto converted = run_pixart({"convert", start, sigma.initial_weights}, folder_->path());
  ASSERT_EQ(converted.code, 0) << converted.output;
  sigma.in_full_size = device() == "cpu";
  ASSERT_NO_FATAL_FAILURE(train(sigma));

  const auto before = weights_of(start), first = weights_of(sigma, "sigma_256"),
             plain = weights_of(sigma, "sigma_1024ms"), compressed = weights_of(sigma, "sigma_2k_kv");
  const std::string null_caption = "y_embedder.y_embedding", convolution = "attn.sr.weight";
  EXPECT_EQ(first.at(null_caption).size(0), 300);
  EXPECT_TRUE(at::equal(first.at(null_caption).narrow(0, 0, 120), before.at(null_caption)));
  EXPECT_TRUE(before.contains("blocks.0.attn.qkv.weight"));
  for (const auto& [name, tensor] : plain) {
    EXPECT_FALSE(name.starts_with("csize_embedder") || name.starts_with("ar_embedder")) << name;
    EXPECT_FALSE(name.ends_with(convolution)) << name;
    EXPECT_TRUE(compressed.contains(name)) << name;
  }
  EXPECT_FALSE(compressed.contains("blocks.0." + convolution));
  const at::Tensor means = compressed.at("blocks.1." + convolution);  // at first of four tokens
  EXPECT_EQ(means.sizes(), (std::vector<int64_t>{36, 1, 2, 2}));
  EXPECT_LT((means - 0.25).abs().max().item<double>(), 0.01);

  auto singles = presets_next_to(sigma.file);
  for (auto& preset : singles) preset.in_full_size = false;
  train_each(sigma, singles);
}

}  // namespace
}  // namespace pixart::testing
