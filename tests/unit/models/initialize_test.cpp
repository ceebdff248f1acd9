// The published starts of DiT and PixArt.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pixart/models/transformer.h"

namespace pixart::models {
namespace {

constexpr DitConfig kDit{{.input_size = 8, .hidden_size = 192, .depth = 2, .num_heads = 3},
                         {.num_classes = 20}};

PixArtConfig pixart_config(int64_t depth = 2) {
  return {{.input_size = 8, .hidden_size = 192, .depth = depth, .num_heads = 3},
          {.caption_channels = 64, .max_tokens = 30, .multi_scale = true, .micro_conditions = true}};
}

struct StartedDit {
  nn::StateDict state;
  Dit model{nn::Scope(state), kDit};
  explicit StartedDit(const TransformerInit& init = {}) { initialize(state, kDit, init); }
};

struct StartedPixArt {
  nn::StateDict state;
  PixArt model;
  explicit StartedPixArt(const TransformerInit& init = {}, int64_t depth = 2)
      : model(nn::Scope(state), pixart_config(depth)) {
    initialize(state, pixart_config(depth), init);
  }
};

void expect_zero(const nn::StateDict& state, const std::string& name) {
  EXPECT_EQ(state.get(name).count_nonzero().item<int64_t>(), 0) << name;
}

// Mean and standard deviation within five standard errors.
void expect_normal(const nn::StateDict& state, const std::string& name, double spread) {
  const at::Tensor x = state.get(name).to(at::kDouble);
  const double count = double(x.numel());
  EXPECT_NEAR(x.mean().item<double>(), 0, 5 * spread / std::sqrt(count)) << name;
  EXPECT_NEAR(x.std().item<double>(), spread, 5 * spread / std::sqrt(2 * count)) << name;
  EXPECT_GT(x.abs().max().item<double>(), 1.9 * spread)
      << name << " looks uniform";  // a uniform one ends at 1.73
}

// Uniform in +-bound; of 190 numbers the largest is above 0.95 of it but once in 10^4 (0.95^190).
void expect_uniform(const nn::StateDict& state, const std::string& name, double bound) {
  const at::Tensor x = state.get(name).to(at::kDouble);
  EXPECT_LE(x.abs().max().item<double>(), bound * (1 + 1e-6)) << name;
  EXPECT_GT(x.abs().max().item<double>(), 0.95 * bound) << name;
  EXPECT_NEAR(x.mean().item<double>(), 0, 5 * bound / std::sqrt(3.0 * double(x.numel()))) << name;
}

double xavier(double in, double out) { return std::sqrt(6 / (in + out)); }

void expect_common(const nn::StateDict& state) {
  expect_uniform(state, "x_embedder.proj.weight", xavier(16, 192));
  expect_uniform(state, "blocks.1.attn.qkv.weight", xavier(192, 576));
  expect_uniform(state, "blocks.1.attn.proj.weight", xavier(192, 192));
  expect_uniform(state, "blocks.1.mlp.fc1.weight", xavier(192, 768));
  expect_uniform(state, "blocks.1.mlp.fc2.weight", xavier(768, 192));
  for (const char* name : {"t_embedder.mlp.0.bias", "t_embedder.mlp.2.bias", "blocks.1.attn.qkv.bias",
                           "blocks.1.attn.proj.bias", "blocks.1.mlp.fc1.bias", "blocks.1.mlp.fc2.bias",
                           "final_layer.linear.weight", "final_layer.linear.bias"})
    expect_zero(state, name);
}

TEST(InitializeDit, FollowsTheReleasedCode) {
  const StartedDit dit;
  expect_common(dit.state);
  expect_normal(dit.state, "t_embedder.mlp.0.weight", 0.02);
  expect_normal(dit.state, "t_embedder.mlp.2.weight", 0.02);
  expect_normal(dit.state, "y_embedder.embedding_table.weight", 0.02);
  for (const char* name :
       {"x_embedder.proj.bias", "blocks.0.adaLN_modulation.1.weight", "blocks.0.adaLN_modulation.1.bias",
        "final_layer.adaLN_modulation.1.weight", "final_layer.adaLN_modulation.1.bias"})
    expect_zero(dit.state, name);
  EXPECT_TRUE(at::equal(dit.state.get("pos_embed"), sincos_positions(192, 4, 4, 4, 1.0)));
}

TEST(InitializePixArt, FollowsTheReleasedCode) {
  const StartedPixArt pixart;
  expect_common(pixart.state);
  for (const char* name :
       {"t_embedder.mlp.0.weight", "t_embedder.mlp.2.weight", "t_block.1.weight",
        "y_embedder.y_proj.fc1.weight", "y_embedder.y_proj.fc2.weight", "csize_embedder.mlp.0.weight",
        "csize_embedder.mlp.2.weight", "ar_embedder.mlp.0.weight", "ar_embedder.mlp.2.weight"})
    expect_normal(pixart.state, name, 0.02);
  expect_uniform(pixart.state, "x_embedder.proj.bias",
                 0.25);  // PyTorch's default of the convolution, 1 / sqrt(fan_in)
  expect_normal(pixart.state, "y_embedder.y_embedding", 1 / std::sqrt(64.0));
  expect_normal(pixart.state, "blocks.0.scale_shift_table", 1 / std::sqrt(192.0));
  expect_normal(pixart.state, "final_layer.scale_shift_table", 1 / std::sqrt(192.0));
  expect_uniform(pixart.state, "blocks.1.cross_attn.q_linear.weight", xavier(192, 192));
  expect_uniform(pixart.state, "blocks.1.cross_attn.kv_linear.weight", xavier(192, 384));
  for (const char* name : {"blocks.1.cross_attn.q_linear.bias", "blocks.1.cross_attn.kv_linear.bias",
                           "blocks.1.cross_attn.proj.weight", "blocks.1.cross_attn.proj.bias",
                           "t_block.1.bias", "y_embedder.y_proj.fc1.bias", "csize_embedder.mlp.2.bias"})
    expect_zero(pixart.state, name);
}

TEST(Initialize, TheOutputStartsAtZero) {
  const StartedDit dit;
  const at::Tensor latent = at::randn({2, 4, 8, 8}), timestep = at::tensor({3.0, 700.0}, at::kFloat);
  EXPECT_EQ(
      dit.model.forward(latent, timestep, {.label = at::tensor({1, 20})}).count_nonzero().item<int64_t>(), 0);
}

TEST(Initialize, NormsOfQueriesAndKeysStartAsPlainNorms) {
  DitConfig config = dit_preset("DiT-S/8");
  config.depth = 1, config.qk_norm = true;
  nn::StateDict state;
  const Dit dit(nn::Scope(state), config);
  initialize(state, config, {});
  for (const std::string name : {"blocks.0.attn.q_norm.", "blocks.0.attn.k_norm."}) {
    EXPECT_TRUE(state.get(name + "weight").eq(1).all().item<bool>());
    EXPECT_TRUE(state.get(name + "bias").eq(0).all().item<bool>());
  }
}

TEST(Initialize, ADrawDependsOnItsNameAndTheSeedOnly) {
  const StartedPixArt two({.seed = 5, .embedder_std = {}}), three({.seed = 5, .embedder_std = {}}, 3),
      other({.seed = 6, .embedder_std = {}});
  for (const auto& item : two.state.items())
    EXPECT_TRUE(at::equal(item.tensor, three.state.get(item.name))) << item.name;
  const char* name = "blocks.0.attn.qkv.weight";
  EXPECT_FALSE(at::equal(two.state.get(name), other.state.get(name)));
  EXPECT_FALSE(at::equal(two.state.get(name), two.state.get("blocks.1.attn.qkv.weight")));
}

TEST(Initialize, EmbedderStdOfZeroIsOneOverRootFanIn) {
  const TransformerInit narrow{.seed = 0, .embedder_std = 0.0}, chosen{.seed = 0, .embedder_std = 0.1};
  const StartedDit dit(narrow);
  expect_normal(dit.state, "t_embedder.mlp.0.weight", 1 / std::sqrt(256.0));
  expect_normal(dit.state, "t_embedder.mlp.2.weight", 1 / std::sqrt(192.0));
  expect_normal(dit.state, "y_embedder.embedding_table.weight", 0.02);
  const StartedPixArt pixart(narrow), wide(chosen);
  expect_normal(pixart.state, "y_embedder.y_proj.fc1.weight", 1 / std::sqrt(64.0));
  expect_normal(pixart.state, "y_embedder.y_proj.fc2.weight", 1 / std::sqrt(192.0));
  expect_normal(pixart.state, "t_block.1.weight", 0.02);
  expect_normal(wide.state, "y_embedder.y_proj.fc1.weight", 0.1);
}

}  // namespace
}  // namespace pixart::models
