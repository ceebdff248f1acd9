// Adapters of other programs.
#include <cmath>

#include "lora_files.h"
#include "pixart/convert/inspect.h"

namespace pixart::convert {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kProj = "blocks.0.attn.proj.weight";

bool is_near(const at::Tensor& a, const at::Tensor& b) { return at::allclose(a, b, 1e-4, 2e-5); }

Tensors pair_of(const std::string& a, const std::string& b) {
  return {{a, at::ones({2, 384})}, {b, at::ones({384, 2})}};
}

class ForeignLora : public AdapterFiles {
 protected:
  // How often ones({2, 384}), ones({384, 2}) were added to blocks.0.attn.proj.
  double times(const fs::path& lora) const { return change(lora, kProj).mean().item<double>() / 2; }
};

// PEFT's adapters of rank 3 for the key projection, as they are before training.
struct Start {
  at::Tensor a, b;
};
Start pissa_start(const at::Tensor& weight, double scale) {
  const auto [u, s, v] = at::linalg_svd(weight, false);
  const at::Tensor root = (s.narrow(0, 0, 3) / scale).sqrt();
  return {root.unsqueeze(1) * v.narrow(0, 0, 3), u.narrow(1, 0, 3) * root};
}
Start olora_start(const at::Tensor& weight) {
  const auto [q, r] = at::linalg_qr(weight);
  return {r.narrow(0, 0, 3).clone(), q.narrow(1, 0, 3).clone()};
}

TEST_F(ForeignLora, WhatPissaAndOloraReplacedIsTakenAway) {
  constexpr double kScale = 2;
  const at::Tensor qkv = base().at("blocks.1.attn.qkv.weight"), key = qkv.narrow(0, 384, 384);
  const std::string layer = "base_model.model.transformer_blocks.1.attn1.to_k";
  for (const std::string how : {"pissa", "olora", "OLoRA"}) {
    const Start start = how == "pissa" ? pissa_start(key, kScale) : olora_start(key);
    write_config("adapter_config.json",
                 R"({"peft_type": "LORA", "r": 3, "lora_alpha": 6, "init_lora_weights": ")" + how + "\"}");
    const auto untrained =
        write("l.safetensors", {{layer + ".lora_A.weight", start.a}, {layer + ".lora_B.weight", start.b}});
    EXPECT_LT(change(untrained, "blocks.1.attn.qkv.weight").abs().max().item<double>(), 1e-4) << how;
    EXPECT_THAT(read_lora(untrained).notes, Contains(HasSubstr("from which the training started"))) << how;
    const at::Tensor a = start.a + at::randn({3, 384}) * 0.1, b = start.b + at::randn({384, 3}) * 0.1;
    const auto trained =
        write("l.safetensors", {{layer + ".lora_A.weight", a}, {layer + ".lora_B.weight", b}});
    const at::Tensor wanted = kScale * (b.mm(a) - start.b.mm(start.a));
    EXPECT_GT(wanted.abs().max().item<double>(), 0.01);
    for (const double strength : {1.0, 0.5}) {
      const at::Tensor got = change(trained, "blocks.1.attn.qkv.weight", strength);
      EXPECT_LT((got.narrow(0, 384, 384) - strength * wanted).abs().max().item<double>(), 1e-4) << how;
      EXPECT_EQ(got.narrow(0, 0, 384).abs().max().item<double>(), 0) << how;
    }
  }
}

TEST_F(ForeignLora, StartsThatNobodyCanRepeatAreRefusedWithTheRemedy) {
  const std::string layer = "transformer_blocks.0.attn1.to_out.0";
  const auto file = write("l.safetensors", pair_of(layer + ".lora_A.weight", layer + ".lora_B.weight"));
  for (const char* how : {"pissa_niter_16", "corda", "loftq", "lora_ga", "of_next_year"}) {
    write_config("adapter_config.json",
                 fmt::format(R"({{"lora_alpha": 2, "init_lora_weights": "{}"}})", how));
    EXPECT_THAT(refusal([&] { read_lora(file); }),
                AllOf(HasSubstr(how), HasSubstr("path_initial_model_for_weight_conversion"),
                      HasSubstr("merge_and_unload")));
  }
  for (const char* how :
       {"true", "false", "null", "\"gaussian\"", "\"Gaussian\"", "\"eva\"", "\"orthogonal\"", "\"mica\""}) {
    write_config("adapter_config.json", fmt::format(R"({{"lora_alpha": 2, "init_lora_weights": {}}})", how));
    EXPECT_NEAR(times(file), 1, 1e-4) << how;
  }
  const std::pair<const char*, const char*> others[] = {{R"("use_qalora": true)", "QA-LoRA"},
                                                        {R"("kasa_config": {"x": 1})", "KaSA"},
                                                        {R"("peft_type": "LOKR")", "LOKR"},
                                                        {R"("layer_replication": [[0, 4]])", "replicated"}};
  for (const auto& [key, name] : others) {
    write_config("adapter_config.json", fmt::format(R"({{"lora_alpha": 2, {}}})", key));
    EXPECT_THAT(refusal([&] { read_lora(file); }), HasSubstr(name));
  }
}

TEST_F(ForeignLora, WhatOnlyTheBackwardPassOfVeloraNeedsIsLeftOut) {
  const std::string layer = "base_model.model.transformer_blocks.0.attn1.to_out.0";
  Tensors tensors = pair_of(layer + ".lora_A.weight", layer + ".lora_B.weight");
  tensors[layer + ".lora_velora_embed"] = at::ones({96, 1});
  EXPECT_NEAR(times(write("v.safetensors", tensors)), 1, 1e-4);
  tensors[layer + ".lora_magnitude_vector"] = at::ones({384});
  EXPECT_THAT(refusal([&] { read_lora(write("v.safetensors", tensors)); }),
              AllOf(HasSubstr("DoRA"), Not(HasSubstr("velora"))));
}

// A convolution among the targets, a prefix around a prefix, alpha one folder above.
TEST_F(ForeignLora, AdaptersOfPixArtsOwnScript) {
  const at::Tensor a = at::randn({4, 4, 2, 2}), b = at::randn({384, 4, 1, 1});
  const auto with_prefix = [&](const std::string& prefix) {
    Tensors tensors = pair_of(prefix + "transformer_blocks.0.attn1.to_out.0.lora_A.weight",
                              prefix + "transformer_blocks.0.attn1.to_out.0.lora_B.weight");
    tensors[prefix + "pos_embed.proj.lora_A.weight"] = a;
    tensors[prefix + "pos_embed.proj.lora_B.weight"] = b;
    return tensors;
  };
  write_config("out/adapter_config.json",
               R"({"lora_alpha": 8, "r": 4, "rank_pattern": {"to_out.0": 2}, "init_lora_weights": "gaussian",
                   "target_modules": ["to_out.0", "proj"]})");
  write("out/adapter_model.safetensors", with_prefix("base_model.model."));
  write("out/transformer_lora/pytorch_lora_weights.safetensors", with_prefix("unet.base_model.model."));
  for (const char* path : {"out", "out/transformer_lora"}) {
    EXPECT_NEAR(times(folder_ / path), 4, 1e-3) << path;
    const at::Tensor wanted = 2 * b.flatten(1).mm(a.flatten(1)).view({384, 4, 2, 2});
    EXPECT_TRUE(is_near(change(folder_ / path, "x_embedder.proj.weight"), wanted)) << path;
    EXPECT_THAT(read_lora(folder_ / path).notes, Each(Not(HasSubstr("assumed")))) << path;
  }
  fs::remove(folder_ / "out/adapter_model.safetensors");
  EXPECT_NEAR(times(folder_ / "out"), 4, 1e-3);  // the folder below
  auto wide = with_prefix("");
  wide["pos_embed.proj.lora_B.weight"] = at::randn({384, 4, 2, 2});
  EXPECT_THAT(refusal([&] { read_lora(write("w.safetensors", wide)); }), HasSubstr("[384, 4, 2, 2]"));
}

TEST_F(ForeignLora, NamesOfKohyaOneTrainerAndComfyUi) {
  const std::string flat = "transformer_blocks_0_attn1_to_out_0";
  for (const std::string prefix : {"lora_transformer_", "lora_unet_", "lycoris_"}) {
    auto tensors = pair_of(prefix + flat + ".lora_down.weight", prefix + flat + ".lora_up.weight");
    tensors[prefix + flat + ".alpha"] = at::scalar_tensor(1.0, at::kBFloat16);
    EXPECT_NEAR(times(write("k.safetensors", tensors)), 0.5, 1e-4) << prefix;
    EXPECT_THAT(inspect(folder_ / "k.safetensors").at(0).opened.identity.summary,
                HasSubstr("LoRA of rank 2"));
  }
  EXPECT_NEAR(times(write("o.safetensors", pair_of("lora_unet_blocks_0_attn_proj.lora_down.weight",
                                                   "lora_unet_blocks_0_attn_proj.lora_up.weight"))),
              1, 1e-4);
  for (const std::string prefix : {"diffusion_model.", "model.diffusion_model.", "module."}) {
    const std::string layer = prefix + "blocks.0.attn.proj";
    EXPECT_NEAR(times(write("c.safetensors", pair_of(layer + ".lora_A.weight", layer + ".lora_B.weight"))), 1,
                1e-4)
        << prefix;
    EXPECT_NEAR(
        times(write("c.safetensors", pair_of(layer + ".lora_down.weight", layer + ".lora_up.weight"))), 1,
        1e-4)
        << prefix;
  }
  const std::string processor = "unet.transformer_blocks.0.attn1.processor.to_out_lora.";
  EXPECT_NEAR(times(write("p.safetensors", pair_of(processor + "down.weight", processor + "up.weight"))), 1,
              1e-4);
  EXPECT_THAT(refusal([&] {
                times(write("t.safetensors", pair_of("lora_te_encoder_block_0_x.lora_down.weight",
                                                     "lora_te_encoder_block_0_x.lora_up.weight")));
              }),
              HasSubstr("belongs to a text encoder"));
  EXPECT_THAT(refusal([&] {
                read_lora(write("h.safetensors", {{"x.hada_w1_a", at::ones({2})}}));
              }),
              HasSubstr("LoHa"));
}

TEST_F(ForeignLora, NamedAdaptersAndPyTorchFiles) {
  const std::string layer = "base_model.model.transformer_blocks.0.attn1.to_out.0";
  const auto named = pair_of(layer + ".lora_A.style.weight", layer + ".lora_B.style.weight");
  write("out/style/adapter_model.safetensors", named);
  EXPECT_NEAR(times(folder_ / "out"), 1, 1e-4);
  EXPECT_EQ(inspect(folder_ / "out").size(), 1u);
  write("out/other/adapter_model.safetensors", named);
  EXPECT_THAT(refusal([&] { read_lora(folder_ / "out"); }),
              AllOf(HasSubstr("several adapters"), HasSubstr("out/other"), HasSubstr("out/style")));
  EXPECT_NEAR(times(folder_ / "out/style"), 1, 1e-4);
  EXPECT_EQ(inspect(folder_ / "out").size(), 2u);

  fs::create_directories(folder_ / "bin");
  formats::write_pth(folder_ / "bin/adapter_model.bin",
                     formats::open_weights(folder_ / "out/style/adapter_model.safetensors"));
  write_config("bin/adapter_config.json", R"({"lora_alpha": 4, "r": 2})");
  EXPECT_NEAR(times(folder_ / "bin"), 2, 1e-4);
  EXPECT_EQ(inspect(folder_ / "bin").size(), 1u);
}

TEST_F(ForeignLora, PatternsAreThoseOfPython) {
  const std::string layer = "transformer_blocks.0.attn1.to_out.0";
  const auto tensors = pair_of(layer + ".lora_A.weight", layer + ".lora_B.weight");
  const auto with = [&](const std::string& keys) {
    write_config("adapter_config.json", R"({"r": 2, "lora_alpha": 2, )" + keys + "}");
    return write("l.safetensors", tensors);
  };
  const std::pair<const char*, double> patterns[] = {{R"(.*(?<!attn2)\\.to_out\\.0)", 3},
                                                     {R"((?P<block>attn1)\\.to_out\\.\\d)", 3},
                                                     {R"((?i)ATTN1\\.to_out\\.0)", 3},
                                                     {R"(.*(?<!attn1)\\.to_out\\.0)", 1},
                                                     {"o_out.0", 1},
                                                     {"attn1", 1}};
  for (const auto& [pattern, wanted] : patterns)
    EXPECT_NEAR(times(with(fmt::format(R"("alpha_pattern": {{"{}": 6}})", pattern))), wanted, 1e-4)
        << pattern;
  EXPECT_THAT(refusal([&] { read_lora(with(R"("rank_pattern": {"to_out.0": 8})")); }),
              AllOf(HasSubstr("rank 2 in the file, 8 in"), HasSubstr("adapter_config.json")));
  EXPECT_THAT(refusal([&] { read_lora(with(R"("target_modules": "to_(out")")); }),
              AllOf(HasSubstr("target_modules"), HasSubstr("'to_(out' is not a regular expression")));
  const auto notes = [&](const std::string& targets) {
    return read_lora(with("\"target_modules\": " + targets)).notes;
  };
  for (const char* targets :
       {R"(".*attn[12]\\.to_(?!q)\\w+(\\.0)?")", R"(["to_out.0", "to_q"])", "\"all-linear\"", "null"})
    EXPECT_THAT(notes(targets), ::testing::IsEmpty()) << targets;
  for (const char* targets : {R"("attn1.*")", R"(["to_q"])", R"(["out.0"])"})
    EXPECT_THAT(notes(targets), Contains(HasSubstr(layer))) << targets;
}

}  // namespace
}  // namespace pixart::convert
