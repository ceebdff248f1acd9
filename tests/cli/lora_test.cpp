// A stage that trains adapters, as a user would run it: base untouched, killed and continued, merged,
// sampled.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "pixart/base/file.h"
#include "pixart/formats/hash.h"
#include "pixart/formats/image_file.h"
#include "pixart/formats/tensor_file.h"
#include "run_with_stages.h"

namespace pixart::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
namespace fs = std::filesystem;

std::string run_yaml() {
  return tiny_run_with(R"(  - name: style
    objective: text_conditional
    source: scenes
    resolution: 32
    steps: 20
    batch_size: 8
    init: {how: copy, from: text}
    lora: {rank: 2, alpha: 4}
    lr_schedule: {warmup_steps: 0}
    optimizer: {lr: 0.003, weight_decay: 0}
    gradient_clip: 1
    ema_decay: 0.9
    samples: {num_steps: 2, prompts: [a red circle on a white background]}
    checkpoints: {every: 5, keep_last: 9}
  - name: after
    objective: text_conditional
    source: scenes
    resolution: 32
    steps: 2
    batch_size: 8
    init: {how: copy, from: style}
    samples: {num_steps: 2, prompts: [a red circle on a white background]}
)");
}

class LoraRun : public RunWithStages {
 protected:
  static void SetUpTestSuite() { train(run_yaml()); }
  static std::map<std::string, at::Tensor> load(const std::string& name) {
    return formats::load_safetensors(path(name)).tensors;
  }
  static std::vector<std::string> hashes_of(const std::string& run) {
    std::vector<std::string> hashes;
    for (const char* file : {"checkpoints/style/step-00000020/model.safetensors",
                             "checkpoints/style/step-00000020/ema.safetensors",
                             "checkpoints/style/step-00000020/optimizer.safetensors",
                             "checkpoints/after/step-00000002/model.safetensors"})
      hashes.push_back(formats::sha256_of_file(path(run) / file));
    const auto lora =
        formats::load_safetensors(path(run) / "lora/style/pytorch_lora_weights.safetensors").tensors;
    for (const auto& [name, tensor] : lora)
      hashes.push_back(formats::sha256({static_cast<const char*>(tensor.const_data_ptr()), tensor.nbytes()}));
    return hashes;
  }
};

bool is_adapter(const std::string& name) { return name.find(".lora_") != std::string::npos; }

TEST_F(LoraRun, ConvertTakesNothingFromADamagedCheckpoint) {
  const fs::path checkpoint = path("run/checkpoints/after/step-00000002"), copy = path("copy");
  fs::copy(checkpoint, copy, fs::copy_options::recursive);
  EXPECT_EQ(pixart({"convert", "copy", "whole.safetensors"}).code, 0);
  std::string bytes = read_file(copy / "model.safetensors");
  bytes.back() = char(bytes.back() ^ 1);
  write_text(copy / "model.safetensors", bytes);
  const auto refused = pixart({"convert", "copy", "damaged.safetensors"});
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output, HasSubstr("SHA-256 differs: tensor "));
  EXPECT_FALSE(fs::exists(path("damaged.safetensors")));
}

TEST_F(LoraRun, TrainsAdaptersAndLeavesTheWeightsAlone) {
  const auto base = load("run/checkpoints/text/step-00000030/ema.safetensors");
  const auto first = load("run/checkpoints/style/step-00000000/model.safetensors");
  for (const char* file : {"model.safetensors", "ema.safetensors"}) {
    const auto last = load(std::string("run/checkpoints/style/step-00000020/") + file);
    size_t adapters = 0;
    for (const auto& [name, tensor] : last) {
      EXPECT_EQ(at::equal(tensor, is_adapter(name) ? first.at(name) : base.at(name)), !is_adapter(name))
          << name;
      adapters += is_adapter(name);
    }
    EXPECT_EQ(last.size(), base.size() + adapters);
    EXPECT_EQ(adapters, 2u * 2 * 7);  // blocks, A and B, layers
  }
  EXPECT_THAT(result_.output, HasSubstr("stage style: adapters for diffusers and PEFT in run/lora/style"));
  EXPECT_THAT(
      files_below(path("run/lora/style")),
      ElementsAre("README.md", "adapter_config.json", "adapter_model.safetensors",
                  "pytorch_lora_weights.safetensors", MatchesRegex("samples/sample-[0-9a-f]{16}\\.png")));
  const std::string card = read_file(path("run/lora/style/README.md"));
  for (const char* text : {"- lora", "# run, stage style", "### Stage class", "### Stage text",
                           "### Stage style", "| lora.rank | 2 |", "not stated: trained from random weights"})
    EXPECT_THAT(card, HasSubstr(text));
}

TEST_F(LoraRun, TelemetryCountsTheAdapters) {
  std::map<std::string, nlohmann::json> stages;
  std::ifstream stream(path("run/telemetry.jsonl"));
  for (std::string line; std::getline(stream, line);)
    if (const auto json = nlohmann::json::parse(line); json.at("kind") == "stage")
      stages[json.at("stage").get<std::string>()] = json;
  const auto &whole = stages.at("after"), &style = stages.at("style");
  EXPECT_EQ(style.at("parameters"), whole.at("parameters"));
  EXPECT_EQ(whole.at("trained_parameters"), whole.at("parameters"));
  int64_t adapters = 0;
  for (const auto& [name, tensor] : load("run/checkpoints/style/step-00000020/model.safetensors"))
    if (is_adapter(name)) adapters += tensor.numel();
  EXPECT_EQ(style.at("trained_parameters"), adapters);
  // Without gradients of the model's weights, which take as much as its forward pass, and with the adapters
  // three times for each token. A whole step is three forward passes without gradients of the inputs.
  const double step = whole.at("flops_per_sample").get<double>();
  const double forward = step - style.at("flops_per_sample").get<double>() +
                         6.0 * style.at("tokens_per_sample").get<double>() * double(adapters);
  EXPECT_GT(3 * forward, step);
  EXPECT_LT(3 * forward, 1.1 * step);
  EXPECT_THAT(style.at("flops_counted").get<std::string>(), HasSubstr("without gradients of frozen weights"));
}

TEST_F(LoraRun, KilledAndContinuedItIsTheSame) {
  fs::copy(path("run"), path("killed"), fs::copy_options::recursive);
  for (const char* name : {"checkpoints/style", "checkpoints/after", "lora"})
    fs::remove_all(path("killed") / name);
  // Their lines in events.jsonl are there without a checkpoint: such a stage begins again on request only.
  const std::vector<std::string> train = {"train",           "run.yaml", "--set",           "run=killed",
                                          "--restart-stage", "style",    "--restart-stage", "after"};
  kill_and_continue(train, "style", path("killed/checkpoints/style/step-00000005"),
                    {path("killed/checkpoints/style/step-00000020"), path("killed/checkpoints/after")});
  EXPECT_EQ(hashes_of("run"), hashes_of("killed"));
}

TEST_F(LoraRun, AdaptersThatWereNotWrittenAreWrittenByTheNextStart) {
  fs::copy(path("run"), path("unwritten"), fs::copy_options::recursive);
  fs::remove_all(path("unwritten/lora"));
  const auto again = pixart({"train", "run.yaml", "--set", "run=unwritten"});
  ASSERT_EQ(again.code, 0) << again.output;
  EXPECT_EQ(hashes_of("run"), hashes_of("unwritten"));
}

TEST_F(LoraRun, TheNextStageStartsFromMergedWeights) {
  const auto own = pixart({"convert", "run/checkpoints/style/step-00000020", "own.safetensors", "--ema"});
  ASSERT_EQ(own.code, 0) << own.output;
  EXPECT_THAT(own.output, HasSubstr("merged into the weights: LoRA of rank 2, alpha 4, for 14 layers"));
  const auto other = pixart({"convert", "run/checkpoints/text/step-00000030", "other.safetensors", "--ema",
                             "--merge-lora", "run/lora/style"});
  ASSERT_EQ(other.code, 0) << other.output;
  for (const char* text : {"derived  blocks.0.attn.qkv.weight",
                           "2 B A of transformer_blocks.0.attn1.to_q (rank 2)", "copied   t_block.1.weight"})
    EXPECT_THAT(other.output, HasSubstr(text));
  const auto merged = load("own.safetensors"), from_parts = load("other.safetensors");
  const auto base = load("run/checkpoints/text/step-00000030/ema.safetensors"),
             start = load("run/checkpoints/after/step-00000000/model.safetensors");
  ASSERT_EQ(merged.size(), start.size());
  for (const auto& [name, tensor] : start) {
    EXPECT_TRUE(at::equal(tensor, merged.at(name))) << name;
    EXPECT_TRUE(at::allclose(tensor, from_parts.at(name), 1e-5, 1e-6)) << name;  // split rows, another order
  }
  EXPECT_FALSE(at::equal(merged.at("blocks.1.mlp.fc2.weight"), base.at("blocks.1.mlp.fc2.weight")));
  const auto report = nlohmann::json::parse(pixart({"inspect", "other.safetensors", "--json"}).output).at(0);
  EXPECT_EQ(nlohmann::json::parse(report.at("metadata").at("pixart.parents").get<std::string>()).size(), 2u);
}

TEST_F(LoraRun, ScaleZeroMergesNothing) {
  const auto result = pixart({"convert", "run/checkpoints/text/step-00000030", "none.safetensors", "--ema",
                              "--merge-lora", "run/lora/style", "--lora-scale", "0"});
  ASSERT_EQ(result.code, 0) << result.output;
  const auto base = load("run/checkpoints/text/step-00000030/ema.safetensors");
  for (const auto& [name, tensor] : load("none.safetensors"))
    EXPECT_TRUE(at::equal(tensor, base.at(name))) << name;
}

TEST_F(LoraRun, AnotherModelsAdaptersAreRefused) {
  const auto result = pixart({"convert", "run/checkpoints/class/step-00000030", "wrong.safetensors",
                              "--merge-lora", "run/lora/style"});
  EXPECT_EQ(result.code, 78) << result.output;
  EXPECT_THAT(result.output, HasSubstr("the model has no layer transformer_blocks.0.attn2.to_k"));
  EXPECT_FALSE(fs::exists(path("wrong.safetensors")));
  const auto changed = pixart({"train", "run.yaml", "--set", "stages.style.lora.rank=3"});
  EXPECT_EQ(changed.code, 78);
  EXPECT_THAT(changed.output,
              HasSubstr("lora.rank was 2, is 3 (cannot change: a stage that uses it has begun)"));
}

TEST_F(LoraRun, AdaptersOfAnotherPredictionAreRefused) {
  ASSERT_EQ(
      pixart({"convert", "run/checkpoints/text/step-00000030", "v.safetensors", "--ema", "--prediction", "v"})
          .code,
      0);
  std::vector<std::string> merge = {"convert", "v.safetensors", "merged_v.safetensors", "--merge-lora",
                                    "run/lora/style"};
  const auto refused = pixart(merge);
  EXPECT_EQ(refused.code, 78) << refused.output;
  EXPECT_THAT(refused.output,
              HasSubstr("trained in a model that predicts epsilon, and the weights predict v"));
  EXPECT_FALSE(fs::exists(path("merged_v.safetensors")));
  merge.insert(merge.end(), {"--prediction", "epsilon"});
  ASSERT_EQ(pixart(merge).code, 0);
  EXPECT_THAT(pixart({"inspect", "merged_v.safetensors"}).output,
              HasSubstr(R"(predicts     {"prediction":"epsilon"})"));
}

TEST_F(LoraRun, SamplesWithAdapters) {
  const auto draw = [](const std::string& stage, const std::string& step) {
    const auto result = pixart({"sample", "run", "a red circle on a white background", "--stage", stage,
                                "--step", step, "--steps", "2", "--overwrite", "--out", stage + step});
    EXPECT_EQ(result.code, 0) << result.output;
    return formats::load_image(path(stage + step) / "0000.png").rgb;
  };
  EXPECT_EQ(draw("text", "30"), draw("style", "0"));
  EXPECT_NE(draw("style", "0"), draw("style", "20"));
}

TEST_F(LoraRun, InspectShowsAdapters) {
  const auto result = pixart({"inspect", "run/lora/style", "--verify"});
  EXPECT_EQ(result.code, 0) << result.output;
  EXPECT_THAT(result.output, HasSubstr("LoRA adapters"));
  EXPECT_THAT(result.output, HasSubstr("LoRA of rank 2, alpha 4, for 20 layers"));
  EXPECT_THAT(result.output, HasSubstr(R"(predicts     {"prediction":"epsilon"})"));
}

}  // namespace
}  // namespace pixart::testing
