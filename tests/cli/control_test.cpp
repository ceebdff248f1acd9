// Stages on top of a trained model, as a user would run them: a ControlNet, and DreamBooth with images that the model draws
// itself. The weights that are not trained stay, killed and continued they are the same, and images follow.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "pixart/base/file.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/image_file.h"
#include "pixart/formats/tensor_file.h"
#include "run_with_stages.h"

namespace pixart::testing {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const std::string kStagesOnTop = R"(  - name: edges
    objective: text_conditional
    source: scenes
    resolution: 32
    steps: 12
    batch_size: 8
    init: {how: copy, from: text}
    control: {condition: canny, blocks: 1}
    condition_dropout: 0.5
    lr_schedule: {warmup_steps: 0}
    optimizer: {lr: 0.01, weight_decay: 0}
    gradient_clip: 1
    ema_decay: 0.5
    samples: {num_steps: 2}
    checkpoints: {every: 4, keep_last: 9}
  - name: subject
    objective: text_conditional
    mix: [{source: subject, passes: 3}, {source: class, prior_weight: 0.5}]
    resolution: 32
    steps: 8
    batch_size: 4
    init: {how: copy, from: text}
    lora: {rank: 2}
    lr_schedule: {warmup_steps: 0}
    samples: {num_steps: 2, prompts: [my own red circle]}
    checkpoints: {every: 4, keep_last: 9}
)";

std::string run_yaml() {
  std::string yaml = tiny_run_with(kStagesOnTop);
  const std::string sources = "sources:\n";
  yaml.insert(yaml.find(sources) + sources.size(),
              "  - {name: subject, type: image_folder, path: subject, prompt: my own red circle}\n"
              "  - {name: class, type: image_folder, path: class, prompt: a red circle, draw: 6}\n");
  return yaml;
}

class StagesOnTop : public RunWithStages {
 protected:
  static void SetUpTestSuite() {
    fs::create_directories(path("subject"));
    for (const int gray : {40, 200}) {
      Image image(32, 32, uint8_t(gray));
      formats::save_png(path(fmt::format("subject/{}.png", gray)), image);
    }
    train(run_yaml());
  }
  static std::map<std::string, at::Tensor> load(const std::string& name) {
    return formats::load_safetensors(path(name)).tensors;
  }
  static std::vector<std::string> hashes_of(const std::string& run, const std::string& step) {
    std::vector<std::string> hashes;
    for (const char* file : {"model.safetensors", "ema.safetensors", "optimizer.safetensors"})
      hashes.push_back(formats::sha256_of_file(path(run) / "checkpoints" / step / file));
    return hashes;
  }
  // Trains the stage in a copy of the run, killed after its first save.
  static void train_killed(const std::string& stage, const std::string& first, const std::string& last) {
    const std::string copy = "killed-" + stage;
    fs::copy(path("run"), path(copy), fs::copy_options::recursive);
    const fs::path checkpoints = path(copy) / "checkpoints" / stage;
    fs::remove_all(checkpoints);
    fs::remove_all(path(copy) / "lora" / stage);
    const std::vector<std::string> train = {"train",   "run.yaml", "--set",           "run=" + copy,
                                            "--stage", stage,      "--restart-stage", stage};
    kill_and_continue(train, stage, checkpoints / first, {checkpoints / last});
    EXPECT_EQ(hashes_of("run", stage + "/" + last), hashes_of(copy, stage + "/" + last));
  }
};

bool is_control(const std::string& name) { return name.starts_with("controlnet."); }

TEST_F(StagesOnTop, OnlyTheControlIsTrained) {
  const auto base = load("run/checkpoints/text/step-00000030/ema.safetensors");
  const auto first = load("run/checkpoints/edges/step-00000000/model.safetensors");
  for (const char* file : {"model.safetensors", "ema.safetensors"}) {
    const auto last = load(std::string("run/checkpoints/edges/step-00000012/") + file);
    size_t moved = 0, control = 0;
    for (const auto& [name, tensor] : last) {
      if (!is_control(name)) {
        EXPECT_TRUE(at::equal(tensor, base.at(name))) << name;
      }
      control += is_control(name);
      moved += is_control(name) && !at::equal(tensor, first.at(name));
    }
    EXPECT_EQ(last.size(), base.size() + control);
    EXPECT_EQ(moved, control) << file;
  }
  for (const auto& [name, tensor] : first) {
    if (name.find("_proj.") != std::string::npos && is_control(name) &&
        name.find("copied_block") == std::string::npos) {
      EXPECT_EQ(tensor.abs().max().item<float>(), 0) << name;
    }
  }
  EXPECT_TRUE(
      at::equal(first.at("controlnet.0.copied_block.attn.qkv.weight"), base.at("blocks.0.attn.qkv.weight")));
  EXPECT_TRUE(fs::exists(path("run/features/scenes-canny-100-200-32/manifest.json")));
}

TEST_F(StagesOnTop, KilledAndContinuedTheyAreTheSame) {
  train_killed("edges", "step-00000004", "step-00000012");
  train_killed("subject", "step-00000004", "step-00000008");
}

TEST_F(StagesOnTop, ImagesFollowAControlImage) {
  Image image(40, 48, 0);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = i / 3 % 48 < 24 ? 0 : 255;
  formats::save_png(path("control.png"), image);
  const auto draw = [](const std::string& out, const std::string& stage, const std::string& step,
                       std::vector<std::string> more) {
    std::vector<std::string> command = {"sample",  "run",     "a red circle on a white background",
                                        "--stage", stage,     "--step",
                                        step,      "--steps", "2",
                                        "--out",   out};
    command.insert(command.end(), more.begin(), more.end());
    const auto result = pixart(command);
    EXPECT_EQ(result.code, 0) << result.output;
    return formats::load_image(path(out) / "0000.png").rgb;
  };
  const auto base = draw("base", "text", "30", {});
  EXPECT_EQ(draw("zero", "edges", "0", {"--control", "control.png"}), base) << "at step 0";
  EXPECT_EQ(draw("without", "edges", "12", {}), base);
  EXPECT_EQ(draw("weak", "edges", "12", {"--control", "control.png", "--control-strength", "0"}), base);
  const auto followed = draw("followed", "edges", "12", {"--control", "control.png"});
  EXPECT_NE(followed, base);
  EXPECT_NE(draw("as-is", "edges", "12", {"--control", "control.png", "--control-as-is"}), followed);
  const auto text = formats::read_png_text(path("followed/0000.png"));
  EXPECT_EQ(text.at("control"), "control.png");
  EXPECT_EQ(text.at("control_image"), "canny-100-200");
  const auto again = pixart({"sample", "--from-image", "followed/0000.png", "--out", "again"});
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(formats::load_image(path("again/0000.png")).rgb, followed);
  const auto refused = pixart({"sample", "run", "a circle", "--stage", "text", "--control", "control.png"});
  EXPECT_EQ(refused.code, 78);
  EXPECT_THAT(refused.output, HasSubstr("has no ControlNet: draw without --control"));
}

TEST_F(StagesOnTop, ConvertKeepsTheControl) {
  const std::string checkpoint = "run/checkpoints/edges/step-00000012";
  for (const char* target : {"edges.safetensors", "edges.pth", "edges-diffusers"}) {
    const auto result = pixart({"convert", checkpoint, target, "--ema"});
    EXPECT_EQ(result.code, 0) << result.output;
  }
  const auto result = pixart({"convert", "edges.pth", "back.safetensors"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("'base_model.' was removed from the names of the controlled model"));
  const auto want = load("edges.safetensors"), got = load("back.safetensors");
  ASSERT_EQ(want.size(), got.size());
  for (const auto& [name, tensor] : want) EXPECT_TRUE(at::equal(tensor, got.at(name))) << name;
  EXPECT_THAT(pixart({"inspect", "back.safetensors"}).output, HasSubstr("ControlNet of 1 blocks"));
  const auto adapter = load("edges-diffusers/diffusion_pytorch_model.safetensors");
  EXPECT_TRUE(at::equal(adapter.at("controlnet_blocks.0.after_proj.weight"),
                        want.at("controlnet.0.after_proj.weight")));
  EXPECT_TRUE(at::equal(adapter.at("controlnet_blocks.0.transformer_block.attn2.to_q.weight"),
                        want.at("controlnet.0.copied_block.cross_attn.q_linear.weight")));
  for (const auto& [name, tensor] : adapter) EXPECT_TRUE(name.starts_with("controlnet_blocks.0.")) << name;
  EXPECT_THAT(read_file(path("edges-diffusers/config.json")), HasSubstr("PixArtControlNetAdapterModel"));
}

TEST_F(StagesOnTop, ClassImagesAreDrawnOnceAndStay) {
  EXPECT_THAT(result_.output, HasSubstr("source class: 6 of 6 images are drawn with \"a red circle\""));
  std::map<std::string, std::string> images;
  for (const auto& entry : fs::directory_iterator(path("class")))
    images[entry.path().filename()] = formats::sha256_of_file(entry.path());
  ASSERT_EQ(images.size(), 6u);
  EXPECT_TRUE(images.contains("drawn-00005.png"));
  EXPECT_NE(images.at("drawn-00000.png"), images.at("drawn-00001.png"));
  EXPECT_EQ(formats::load_image(path("class/drawn-00000.png")).width, 32);
  // One that was lost is drawn again, to the bit, in another run.
  fs::remove(path("class/drawn-00002.png"));
  fs::copy(path("run"), path("redrawn"), fs::copy_options::recursive);
  fs::remove_all(path("redrawn/checkpoints/subject"));
  fs::remove_all(path("redrawn/lora/subject"));
  const auto again = pixart(
      {"train", "run.yaml", "--set", "run=redrawn", "--stage", "subject", "--restart-stage", "subject"});
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_THAT(again.output, HasSubstr("source class: 1 of 6 images are drawn"));
  EXPECT_EQ(formats::sha256_of_file(path("class/drawn-00002.png")), images.at("drawn-00002.png"));
  EXPECT_EQ(hashes_of("redrawn", "subject/step-00000008"), hashes_of("run", "subject/step-00000008"));
}

TEST_F(StagesOnTop, PriorWeightsAreInTheLoss) {
  std::string yaml = run_yaml();
  const std::string weight = "prior_weight: 0.5";
  yaml.replace(yaml.find(weight), weight.size(), "prior_weight: 2");
  write_text(path("other.yaml"), yaml);
  fs::copy(path("run"), path("other"), fs::copy_options::recursive);
  for (const char* name : {"checkpoints/subject", "lora/subject", "events.jsonl"})  // as if it had not begun
    fs::remove_all(path("other") / name);
  const auto result = pixart({"train", "other.yaml", "--set", "run=other", "--stage", "subject"});
  ASSERT_EQ(result.code, 0) << result.output;
  EXPECT_NE(hashes_of("other", "subject/step-00000008"), hashes_of("run", "subject/step-00000008"));
}

}  // namespace
}  // namespace pixart::testing
