#include "pixart/convert/lora.h"

#include <ATen/ATen.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "many_keys.h"
#include "model_files.h"
#include "pixart/convert/inspect.h"
#include "pixart/formats/hash.h"
#include "pixart/nn/lora.h"

namespace pixart::convert {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using Tensors = std::map<std::string, at::Tensor>;

// Sums of four products in another order.
bool near(const at::Tensor& a, const at::Tensor& b) { return at::allclose(a, b, 1e-5, 1e-6); }

class LoraFiles : public ModelFiles {
 protected:
  fs::path write(const std::string& name, const Tensors& tensors, formats::Metadata metadata = {}) const {
    std::vector<formats::NamedTensor> list;
    for (const auto& [key, tensor] : tensors) list.push_back({key, tensor});
    formats::save_safetensors(folder_ / name, list, std::move(metadata));
    return folder_ / name;
  }

  // A checkpoint of a lora stage, base weights and adapters of rank 4 and alpha 8, and its base alone.
  template <class Model, class Config>
  fs::path checkpoint(const Config& config, const std::vector<std::string>& targets) {
    const fs::path base = save<Model>("base.safetensors", config, {{"pixart.license", "mine"}});
    nn::StateDict state;
    const Model model(nn::Scope(state), config);
    Problems problems;
    nn::add_lora(state, {.rank = 4, .alpha = 8, .targets = targets}, {}, "", problems);
    EXPECT_TRUE(problems.empty());
    Tensors tensors = formats::load_safetensors(base).tensors;
    for (const auto& name : nn::lora_names(state)) tensors[name] = state.get(name).normal_(0, 0.1);
    auto metadata = lora_metadata(4, 8);
    metadata["pixart.license"] = "mine";
    metadata["pixart.architecture"] = architecture_text(config);
    return write("checkpoint.safetensors", tensors, metadata);
  }

  static Tensors official(const fs::path& path) {
    return formats::read_all(to_official(open_and_identify(path)).weights);
  }
  Tensors base_with(const fs::path& lora, double strength = 1) const {
    return formats::read_all(merge_lora(to_official(open_and_identify(folder_ / "base.safetensors")),
                                        read_lora(lora), strength, "it")
                                 .weights.weights);
  }
  // One adapter of rank 2 for a layer of the base, under any names.
  Tensors one(const std::string& a, const std::string& b) const {
    return {{a, at::ones({2, 384})}, {b, at::ones({384, 2})}};
  }
  // How often one() was added to that layer.
  double times(const fs::path& lora) const {
    const auto base = formats::load_safetensors(folder_ / "base.safetensors").tensors;
    const char* name = "blocks.0.attn.proj.weight";
    return (base_with(lora).at(name) - base.at(name)).mean().item<double>() / 2;
  }
};

const std::vector<std::string> kAdapted = {"blocks.*.attn.*", "blocks.*.cross_attn.*", "blocks.*.mlp.*",
                                           "t_block.1"};

TEST_F(LoraFiles, ACheckpointIsMergedWhenItIsOpened) {
  const fs::path path = checkpoint<models::PixArt>(small_pixart(), kAdapted);
  const auto file = formats::load_safetensors(path).tensors;
  const auto merged = official(path);
  int changed = 0;
  for (const auto& [name, tensor] : merged) {
    EXPECT_FALSE(nn::is_lora_name(name));
    const auto a = file.find(name.substr(0, name.size() - 7) + nn::kLoraA);
    if (!name.ends_with(".weight") || a == file.end()) {
      EXPECT_TRUE(at::equal(tensor, file.at(name))) << name;
      continue;
    }
    const at::Tensor b = file.at(name.substr(0, name.size() - 7) + nn::kLoraB);
    EXPECT_TRUE(near(tensor, file.at(name) + 2 * b.mm(a->second))) << name;
    ++changed;
  }
  EXPECT_EQ(changed, 15);
}

TEST_F(LoraFiles, WrittenForDiffusersTheySayTheSame) {
  const fs::path path = checkpoint<models::PixArt>(small_pixart(), kAdapted);
  const auto opened = open_and_identify(path);
  write_lora(folder_ / "lora", opened.weights, opened.identity.architecture);
  const auto file = formats::load_safetensors(path).tensors;
  const auto written = formats::load_safetensors(folder_ / "lora/pytorch_lora_weights.safetensors");
  EXPECT_EQ(written.tensors.size(), 2u * (2 * (3 + 1 + 1 + 2 + 1 + 2) + 1));
  const std::string block = "transformer.transformer_blocks.1.";
  const auto rows = [&](const std::string& layer, int64_t part) {
    return file.at("blocks.1." + layer + ".lora_B.weight").narrow(0, part * 384, 384);
  };
  const std::pair<const char*, at::Tensor> parts[] = {{"attn1.to_q", rows("attn.qkv", 0)},
                                                      {"attn1.to_k", rows("attn.qkv", 1)},
                                                      {"attn1.to_v", rows("attn.qkv", 2)},
                                                      {"attn2.to_k", rows("cross_attn.kv_linear", 0)},
                                                      {"attn2.to_v", rows("cross_attn.kv_linear", 1)},
                                                      {"attn2.to_out.0", rows("cross_attn.proj", 0)}};
  for (const auto& [name, b] : parts)
    EXPECT_TRUE(at::equal(written.tensors.at(block + name + ".lora_B.weight"), b)) << name;
  for (const char* name : {"attn1.to_q", "attn1.to_k", "attn1.to_v"})
    EXPECT_TRUE(at::equal(written.tensors.at(block + name + ".lora_A.weight"),
                          file.at("blocks.1.attn.qkv.lora_A.weight")));
  EXPECT_TRUE(written.tensors.contains("transformer.adaln_single.linear.lora_A.weight"));
  const auto config = nlohmann::json::parse(written.metadata.at("lora_adapter_metadata"));
  EXPECT_EQ(config.at("transformer.lora_alpha"), 8);
  EXPECT_EQ(config.at("transformer.r"), 4);
  const auto for_peft = formats::load_safetensors(folder_ / "lora/adapter_model.safetensors").metadata;
  const auto same_config = nlohmann::json::parse(for_peft.at("lora_adapter_metadata"));
  ASSERT_EQ(same_config.size(), config.size());
  for (const auto& [key, value] : config.items())
    EXPECT_EQ(same_config.at("base_model.model." + key.substr(std::string("transformer.").size())), value)
        << key;
  EXPECT_EQ(written.metadata.at("pixart.license"), "mine");
  EXPECT_THAT(written.metadata.at("pixart.parents"), HasSubstr(formats::sha256_of_file(path)));

  const auto want = official(path);
  for (const char* name :
       {"lora", "lora/pytorch_lora_weights.safetensors", "lora/adapter_model.safetensors"}) {
    const auto got = base_with(folder_ / name);
    ASSERT_EQ(got.size(), want.size());
    for (const auto& [key, tensor] : want) EXPECT_TRUE(near(got.at(key), tensor)) << name << ": " << key;
  }
}

TEST_F(LoraFiles, DitAdaptersGoThereAndBackToo) {
  const fs::path path = checkpoint<models::Dit>(small_dit(), {"blocks.*", "t_embedder.*", "final_layer.*"});
  const auto opened = open_and_identify(path);
  write_lora(folder_ / "lora", opened.weights, opened.identity.architecture);
  const auto got = base_with(folder_ / "lora"), want = official(path);
  for (const auto& [key, tensor] : want) EXPECT_TRUE(near(got.at(key), tensor)) << key;
}

// Convolution and norm of compressed keys get no adapters; the layers around them do.
TEST_F(LoraFiles, AdaptersOfCompressedBlocksGoThereAndBackToo) {
  const fs::path path = checkpoint<models::PixArt>(compressed_sigma(), kAdapted);
  const auto opened = open_and_identify(path);
  for (const auto& [name, info] : opened.weights.tensors)
    EXPECT_FALSE(nn::is_lora_name(name) &&
                 (name.find(".sr.") != std::string::npos || name.find(".norm.") != std::string::npos))
        << name;
  write_lora(folder_ / "lora", opened.weights, opened.identity.architecture);
  const auto written = formats::load_safetensors(folder_ / "lora/adapter_model.safetensors").tensors;
  for (const char* layer : {"attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "attn2.to_k"})
    EXPECT_TRUE(
        written.contains(fmt::format("base_model.model.transformer_blocks.1.{}.lora_A.weight", layer)))
        << layer;
  const auto got = base_with(folder_ / "lora"), want = official(path);
  ASSERT_EQ(got.size(), want.size());
  for (const auto& [key, tensor] : want) EXPECT_TRUE(near(got.at(key), tensor)) << key;
}

TEST_F(LoraFiles, NamesOfOthersAreUnderstood) {
  save<models::PixArt>("base.safetensors", small_pixart());
  const std::string layer = "transformer_blocks.0.attn1.to_out.0";
  for (const std::string prefix : {"", "transformer.", "unet.", "base_model.model."}) {
    EXPECT_NEAR(times(write("l.safetensors",
                            one(prefix + layer + ".lora_A.weight", prefix + layer + ".lora_B.weight"))),
                1, 1e-4)
        << prefix;
  }
  EXPECT_NEAR(times(write("l.safetensors", one(layer + ".lora.down.weight", layer + ".lora.up.weight"))), 1,
              1e-4);
  EXPECT_NEAR(times(write("l.safetensors",
                          one("blocks.0.attn.proj.lora_A.weight", "blocks.0.attn.proj.lora_B.weight"))),
              1, 1e-4);
}

TEST_F(LoraFiles, AlphaIsFoundWhereverItIsNoted) {
  save<models::PixArt>("base.safetensors", small_pixart());
  const std::string layer = "transformer_blocks.0.attn1.to_out.0";
  const auto tensors = one(layer + ".lora_A.weight", layer + ".lora_B.weight");
  const auto with = [&](const formats::Metadata& metadata) {
    return times(write("l.safetensors", tensors, metadata));
  };
  EXPECT_THAT(read_lora(write("l.safetensors", tensors)).notes, ::testing::ElementsAre(HasSubstr("alpha")));
  EXPECT_NEAR(with(lora_metadata(2, 6)), 3, 1e-4);
  EXPECT_NEAR(with({{"lora_adapter_metadata", R"({"transformer.lora_alpha": 8})"}}), 4, 1e-4);
  EXPECT_NEAR(
      with({{"lora_adapter_metadata",
             R"({"transformer.lora_alpha": 8, "transformer.alpha_pattern": {"attn1.to_out.0": 1}})"}}),
      0.5, 1e-4);
  EXPECT_NEAR(
      with(
          {{"lora_adapter_metadata",
            R"({"transformer.lora_alpha": 8, "transformer.alpha_pattern": {"attn1": 1, "transformer_blocks.*to_out.0": 2}})"}}),
      1, 1e-4);
  EXPECT_THAT(refusal([&] {
                with({{"lora_adapter_metadata", R"({"lora_alpha": 8, "alpha_pattern": {"(attn1": 1}})"}});
              }),
              HasSubstr("alpha_pattern '(attn1'"));
  auto numbered = tensors;
  numbered[layer + ".alpha"] = at::scalar_tensor(10);
  EXPECT_NEAR(times(write("l.safetensors", numbered)), 5, 1e-4);
  std::ofstream(folder_ / "adapter_config.json") << R"({"r": 2, "lora_alpha": 4, "use_rslora": true})";
  EXPECT_NEAR(with({}), 4 / std::sqrt(2.0), 1e-4);
  std::ofstream(folder_ / "adapter_config.json") << R"({"lora_alpha": 4, "use_dora": true})";
  EXPECT_THAT(refusal([&] { with({}); }), HasSubstr("DoRA"));
  std::ofstream(folder_ / "adapter_config.json") << "{\"lora_alpha\": 4, " + testing::many_keys() + "}";
  EXPECT_THAT(refusal([&] { with({}); }),
              AllOf(HasSubstr("alpha cannot be read from"),
                    HasSubstr("adapter_config.json: it has an object with more than 10000 keys")));
}

TEST_F(LoraFiles, WhatHasNoPlaceIsListedWhole) {
  save<models::PixArt>("base.safetensors", small_pixart());
  const auto file =
      write("l.safetensors", {{"transformer_blocks.0.attn1.to_qq.lora_A.weight", at::ones({2, 384})},
                              {"transformer_blocks.0.attn1.to_qq.lora_B.weight", at::ones({384, 2})},
                              {"transformer_blocks.0.attn1.to_k.lora_A.weight", at::ones({2, 8})},
                              {"transformer_blocks.0.attn1.to_k.lora_B.weight", at::ones({384, 2})},
                              {"pos_embed.proj.lora_A.weight", at::ones({2, 384})},
                              {"pos_embed.proj.lora_B.weight", at::ones({384, 2})}});
  EXPECT_THAT(
      refusal([&] { base_with(file); }),
      AllOf(HasSubstr("3 problems"), HasSubstr("the model has no layer transformer_blocks.0.attn1.to_qq"),
            HasSubstr("Did you mean 'transformer_blocks.0.attn1.to_q'"),
            HasSubstr("384 x 8; the layer of the model has 384 x 384"),
            HasSubstr("pos_embed.proj is for a layer of 384 x 384; the layer of the model has 384 x 4 x 2 x "
                      "2")));
  const auto halves = write("h.safetensors", {{"x.lora_A.weight", at::ones({2, 384})},
                                              {"y.lora_B.weight", at::ones({384, 2})},
                                              {"z.lora_A.weight", at::ones({2, 4})},
                                              {"z.lora_B.weight", at::ones({4, 3})}});
  EXPECT_THAT(refusal([&] { read_lora(halves); }),
              AllOf(HasSubstr("missing: lora_B of x"), HasSubstr("missing: lora_A of y"),
                    HasSubstr("z: rank 2 in lora_A, 3")));
  const auto dora = write("d.safetensors", {{"x.lora_A.weight", at::ones({2, 4})},
                                            {"x.lora_B.weight", at::ones({4, 2})},
                                            {"x.lora_magnitude_vector", at::ones({4})}});
  EXPECT_THAT(refusal([&] { read_lora(dora); }),
              HasSubstr("not a part of an adapter: x.lora_magnitude_vector"));
  EXPECT_THAT(refusal([&] { read_lora(folder_ / "base.safetensors"); }), HasSubstr("has no LoRA adapters"));
  EXPECT_THAT(refusal([&] { official(file); }), HasSubstr("--merge-lora"));
}

TEST_F(LoraFiles, MergedNumbersAreRoundedOnce) {
  save<models::PixArt>("wide.safetensors", small_pixart());
  auto tensors = formats::load_safetensors(folder_ / "wide.safetensors").tensors;
  for (auto& [name, tensor] : tensors) tensor = tensor.to(at::kBFloat16);
  write("base.safetensors", tensors);
  const std::string layer = "transformer_blocks.0.attn1.to_out.0";
  auto adapter = one(layer + ".lora_A.weight", layer + ".lora_B.weight");
  for (auto& [name, tensor] : adapter) tensor = at::randn(tensor.sizes()) * 0.01;
  const auto merged = base_with(write("l.safetensors", adapter), 0.5).at("blocks.0.attn.proj.weight");
  const at::Tensor change = adapter.at(layer + ".lora_B.weight").mm(adapter.at(layer + ".lora_A.weight"));
  const at::Tensor want = tensors.at("blocks.0.attn.proj.weight").to(at::kFloat) + 0.5 * change;
  EXPECT_EQ(merged.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::allclose(merged.to(at::kFloat), want, 1.0 / 256, 1e-7));  // half a unit of bfloat16
}

TEST_F(LoraFiles, InspectTellsWhatTheyAre) {
  const fs::path path = checkpoint<models::PixArt>(small_pixart(), {"blocks.*.attn.*"});
  EXPECT_THAT(inspect(path).at(0).opened.identity.summary,
              AllOf(HasSubstr("PixArt"), HasSubstr("with LoRA of rank 4, alpha 8, for 4 layers")));
  const auto opened = open_and_identify(path);
  write_lora(folder_ / "lora", opened.weights, opened.identity.architecture);
  const auto reports = inspect(folder_ / "lora");
  ASSERT_EQ(reports.size(), 2u);
  for (const auto& report : reports) {
    EXPECT_EQ(report.opened.identity.layout, Layout::kLora);
    EXPECT_THAT(report.opened.identity.summary, HasSubstr("LoRA of rank 4, alpha 8, for 8 layers"));
    EXPECT_EQ(report.license, "mine");
  }
}

TEST_F(LoraFiles, TheySayWhatTheModelPredicts) {
  const fs::path path = checkpoint<models::PixArt>(small_pixart(), {"blocks.0.attn.qkv"});
  auto file = formats::load_safetensors(path);
  file.metadata["pixart.process"] = R"({"prediction":"flow","shift":2.0})";
  write("checkpoint.safetensors", file.tensors, file.metadata);
  const auto opened = open_and_identify(path);
  write_lora(folder_ / "lora", opened.weights, opened.identity.architecture);
  const auto adapters = read_lora(folder_ / "lora");
  ASSERT_TRUE(adapters.process);
  EXPECT_EQ(process_text(adapters.process), file.metadata.at("pixart.process"));
  for (const auto& report : inspect(folder_ / "lora"))
    EXPECT_EQ(process_text(report.opened.identity.process), file.metadata.at("pixart.process"));

  auto base = to_official(open_and_identify(folder_ / "base.safetensors"));
  EXPECT_FALSE(base.identity.process);
  require_same_prediction(base, adapters, "it");  // which the base does not say
  EXPECT_EQ(process_text(merge_lora(base, adapters, 1, "it").weights.identity.process),
            file.metadata.at("pixart.process"));
  base.identity.process = diffusion::Process{};
  EXPECT_THAT(refusal([&] { require_same_prediction(base, adapters, "it"); }),
              AllOf(HasSubstr("it: the adapters were trained in a model that predicts flow"),
                    HasSubstr("the weights predict epsilon"), HasSubstr("--prediction flow")));
}

TEST_F(LoraFiles, ThePlanNamesEveryTensor) {
  const fs::path path = checkpoint<models::PixArt>(small_pixart(), {"blocks.0.attn.qkv"});
  const auto opened = open_and_identify(path);
  write_lora(folder_ / "lora", opened.weights, opened.identity.architecture);
  const auto merged = merge_lora(to_official(open_and_identify(folder_ / "base.safetensors")),
                                 read_lora(folder_ / "lora"), 0.25, "it");
  EXPECT_EQ(merged.plan.size(), merged.weights.weights.tensors.size());
  EXPECT_EQ(merged.weights.weights.files.size(), 2u);  // both parents
  for (const auto& line : merged.plan) {
    const bool is_merged = line.name == "blocks.0.attn.qkv.weight";
    EXPECT_EQ(line.disposition, is_merged ? Disposition::kDerived : Disposition::kCopied) << line.name;
    if (!is_merged) continue;
    EXPECT_THAT(line.how, AllOf(HasSubstr("W + 0.5 B A of transformer_blocks.0.attn1.to_k (rank 4)"),
                                HasSubstr("to_q")));
  }
}

}  // namespace
}  // namespace pixart::convert
