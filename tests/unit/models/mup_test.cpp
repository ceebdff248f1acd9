#include "pixart/models/mup.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "pixart/models/alignment.h"

namespace pixart::models {
namespace {

using ::testing::ElementsAre;

TransformerConfig pixart_of_width(int64_t width, int64_t heads = 4, bool qk_norm = false) {
  return PixArtConfig{
      {.input_size = 8, .hidden_size = width, .depth = 1, .num_heads = heads, .qk_norm = qk_norm},
      {.caption_channels = 48, .max_tokens = 4}};
}

TransformerConfig dit_of_width(int64_t width) {
  return DitConfig{{.input_size = 8, .hidden_size = width, .depth = 1, .num_heads = 4}, {.num_classes = 5}};
}

std::map<std::string, at::Tensor> initial(const TransformerConfig& config, const TransformerInit& init) {
  nn::StateDict state;
  const Transformer model(nn::Scope(state), config);
  initialize(state, config, init);
  std::map<std::string, at::Tensor> values;
  for (const auto& item : state.items()) values[item.name] = item.tensor.clone();
  return values;
}

double deviation(const at::Tensor& tensor) { return tensor.square().mean().sqrt().item<double>(); }

TEST(Mup, AtTheBaseNothingChanges) {
  for (const auto& config : {pixart_of_width(64), dit_of_width(64), pixart_of_width(64, 4, true)}) {
    EXPECT_TRUE(learning_rate_factors(config, {.width = 64, .heads = 4}).empty());
    for (const std::optional<double> spread : {std::optional<double>(), std::optional<double>(0)}) {
      const auto plain = initial(config, {.seed = 3, .embedder_std = spread}),
                 scaled = initial(config, {.seed = 3, .embedder_std = spread, .base = WidthBase{64, 4}});
      for (const auto& [name, values] : plain) EXPECT_TRUE(at::equal(values, scaled.at(name))) << name;
    }
  }
}

// Its first matrix has the model's width as input, and the others have no size of the model.
TEST(Mup, AProjectionForAlignmentHasRulesOfItsOwn) {
  const WidthBase base{.width = 64, .heads = 4};
  const auto config = pixart_of_width(256);
  nn::StateDict state;
  const Transformer model(nn::Scope(state), config);
  const AlignmentProjection projection(nn::Scope(state), {.width = 256, .hidden = 96, .channels = 32});
  initialize(state, config, {.seed = 3, .base = base});
  EXPECT_NEAR(deviation(state.get("alignment.0.weight")), std::sqrt(2.0 / (64 + 96)) / 2, 2e-3);
  EXPECT_NEAR(deviation(state.get("alignment.2.weight")), std::sqrt(2.0 / (96 + 96)), 2e-3);
  const auto factors = learning_rate_factors(config, base);
  EXPECT_THAT(factors.at("alignment.0.weight"), ElementsAre(0.25));
  EXPECT_EQ(factors.count("alignment.2.weight"), 0);
}

// Four times as wide, with heads of four times the size.
TEST(Mup, RatesOfMatricesFallWithTheirInput) {
  const auto factors = learning_rate_factors(pixart_of_width(256), {.width = 64, .heads = 4});
  EXPECT_THAT(factors.at("blocks.0.attn.qkv.weight"), ElementsAre(0.125, 0.25, 0.25));
  EXPECT_THAT(factors.at("blocks.0.attn.qkv.bias"), ElementsAre(0.5, 1, 1));
  EXPECT_THAT(factors.at("blocks.0.cross_attn.q_linear.weight"), ElementsAre(0.125));
  for (const char* name : {"blocks.0.attn.proj.weight", "blocks.0.cross_attn.kv_linear.weight",
                           "blocks.0.mlp.fc1.weight", "blocks.0.mlp.fc2.weight", "t_embedder.mlp.2.weight",
                           "t_block.1.weight", "y_embedder.y_proj.fc2.weight", "final_layer.linear.weight"})
    EXPECT_THAT(factors.at(name), ElementsAre(0.25)) << name;
  for (const char* name :
       {"x_embedder.proj.weight", "t_embedder.mlp.0.weight", "y_embedder.y_proj.fc1.weight",
        "blocks.0.scale_shift_table", "blocks.0.mlp.fc1.bias", "final_layer.linear.bias"})
    EXPECT_EQ(factors.count(name), 0u) << name;
  const auto of_dit = learning_rate_factors(dit_of_width(256), {.width = 64, .heads = 4});
  EXPECT_EQ(of_dit.count("y_embedder.embedding_table.weight"), 0u);
  EXPECT_THAT(of_dit.at("blocks.0.adaLN_modulation.1.weight"), ElementsAre(0.25));
}

TEST(Mup, HeadsOfOneSizeKeepTheScaleOfAttention) {
  const auto factors = learning_rate_factors(pixart_of_width(256, 16), {.width = 64, .heads = 4});
  EXPECT_THAT(factors.at("blocks.0.attn.qkv.weight"), ElementsAre(0.25, 0.25, 0.25));
  EXPECT_EQ(factors.count("blocks.0.attn.qkv.bias"), 0u);
}

TEST(Mup, OfNormalisedQueriesTheNormIsScaled) {
  const auto factors = learning_rate_factors(pixart_of_width(256, 4, true), {.width = 64, .heads = 4});
  EXPECT_THAT(factors.at("blocks.0.attn.qkv.weight"), ElementsAre(0.25));
  EXPECT_THAT(factors.at("blocks.0.attn.q_norm.weight"), ElementsAre(0.5));
  const auto values = initial(pixart_of_width(256, 4, true), {.seed = 3, .base = WidthBase{64, 4}});
  EXPECT_EQ(values.at("blocks.0.attn.q_norm.weight").max().item<float>(), 0.5f);
  EXPECT_EQ(values.at("blocks.0.attn.k_norm.weight").max().item<float>(), 1.0f);
}

TEST(Mup, InitialValuesOfMatricesFallWithTheRootOfTheirInput) {
  const auto narrow = initial(pixart_of_width(64), {.seed = 3}),
             wide = initial(pixart_of_width(256), {.seed = 3, .base = WidthBase{64, 4}});
  const auto ratio = [&](const char* name) { return deviation(wide.at(name)) / deviation(narrow.at(name)); };
  for (const char* name :
       {"blocks.0.attn.proj.weight", "blocks.0.cross_attn.kv_linear.weight", "blocks.0.mlp.fc1.weight",
        "t_embedder.mlp.2.weight", "t_block.1.weight", "y_embedder.y_proj.fc2.weight"})
    EXPECT_NEAR(ratio(name), 0.5, 0.02) << name;
  for (const char* name :
       {"x_embedder.proj.weight", "t_embedder.mlp.0.weight", "y_embedder.y_proj.fc1.weight"})
    EXPECT_NEAR(ratio(name), 1, 0.06) << name;
  EXPECT_NEAR(ratio("blocks.0.scale_shift_table"), 1, 0.2);
  const auto rows = [&](const auto& values, int64_t part) {
    return deviation(values.at("blocks.0.attn.qkv.weight").chunk(3)[size_t(part)]);
  };
  EXPECT_NEAR(rows(wide, 0) / rows(narrow, 0), 0.25, 0.02);  // queries
  EXPECT_NEAR(rows(wide, 1) / rows(narrow, 1), 0.5, 0.02);
}

}  // namespace
}  // namespace pixart::models
