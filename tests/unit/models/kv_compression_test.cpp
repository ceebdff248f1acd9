// Compressed keys of PixArt-Sigma. What they compute: golden kind pixart_sigma.
#include <gmock/gmock.h>

#include "model_folder.h"
#include "pixart/base/error.h"
#include "pixart/models/transformer.h"
#include "transformer_checks.h"

namespace pixart::models {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using enum KvSampling;

constexpr KvSampling kAll[] = {kConv, kUniform, kAverage, kEvery};

PixArtConfig compressed(KvSampling sampling, int64_t factor = 2, std::vector<int64_t> layers = {1}) {
  return {{.input_size = 4, .hidden_size = 12, .depth = 2, .num_heads = 2},
          {.caption_channels = 5,
           .max_tokens = 4,
           .multi_scale = true,
           .kv_compression = {.sampling = sampling, .factor = factor, .layers = std::move(layers)}}};
}

// Two samples on a grid of rows x cols tokens.
struct TinyKvCompression {
  nn::StateDict state;
  PixArt model;
  at::Tensor latent, timestep;
  Condition text;

  explicit TinyKvCompression(const PixArtConfig& config, at::ScalarType dtype = at::kFloat, int64_t rows = 2,
                             int64_t cols = 4)
      : state({.dtype = dtype}),
        model(nn::Scope(state), config),
        latent(at::randn({2, 4, 2 * rows, 2 * cols}, dtype)),
        timestep(at::tensor({40.5, 900.0}, at::kFloat)) {
    randomize(state);
    text.caption = at::randn({2, 4, 5}, dtype);
    text.mask = at::tensor({1, 0, 0, 0, 1, 1, 1, 0}).view({2, 4});
  }
  at::Tensor forward(const Execution& execution = {}) const {
    return model.with(execution).forward(latent, timestep, text);
  }
};

TEST(KvCompression, AnalyticGradientsAreTheNumericOnes) {
  const TinyKvCompression whole(compressed(kConv), at::kDouble),
      border(compressed(kConv, 2, {0, 1}), at::kDouble, 3, 5);
  for (const TinyKvCompression* tiny : {&whole, &border})
    check_gradients(tiny->state, [&] { return tiny->forward(); });
  for (const KvSampling sampling : {kUniform, kAverage, kEvery}) {
    SCOPED_TRACE(word_of(sampling));
    const TinyKvCompression tiny(compressed(sampling), at::kDouble);
    check_gradients(
        tiny.state, [&] { return tiny.forward(); }, 1);
  }
}

TEST(KvCompression, RecomputedBlocksChangeNoBit) {
  for (const KvSampling sampling : kAll) {
    SCOPED_TRACE(word_of(sampling));
    const TinyKvCompression tiny(compressed(sampling, 2, {0, 1}));
    check_recompute(
        tiny.state, [&](const Execution& execution, int64_t) { return tiny.forward(execution); }, 1);
  }
}

TEST(KvCompression, FloatWeightsRunInBfloat16) {
  PixArtConfig config = compressed(kConv, 2, {0, 1});
  config.hidden_size = 60;
  TinyKvCompression tiny(config);
  randomize(tiny.state, 0.1);
  EXPECT_LT(bfloat16_distance(tiny.forward({.dtype = at::kBFloat16}), tiny.forward()), kBfloat16Distance);
  const auto results = loss_and_gradients(
      tiny.state, [&](int64_t) { return tiny.forward({.dtype = at::kBFloat16}); }, 1);
  for (const auto& gradient : results) EXPECT_EQ(gradient.scalar_type(), at::kFloat);
}

TEST(KvCompression, OnlyAConvolutionHasWeightsAndOnlyInItsLayers) {
  std::vector<std::string> names;
  const TinyKvCompression conv(compressed(kConv, 3));
  for (const auto& item : conv.state.items())
    if (item.name.find(".sr.") != std::string::npos || item.name.find(".norm.") != std::string::npos)
      names.push_back(item.name);
  EXPECT_THAT(names, ElementsAre("blocks.1.attn.sr.weight", "blocks.1.attn.sr.bias",
                                 "blocks.1.attn.norm.weight", "blocks.1.attn.norm.bias"));
  EXPECT_EQ(conv.state.get("blocks.1.attn.sr.weight").sizes(), at::IntArrayRef({12, 1, 3, 3}));
  const TinyKvCompression none(compressed(kNone, 2, {}));
  for (const KvSampling sampling : {kUniform, kAverage, kEvery})
    EXPECT_EQ(TinyKvCompression(compressed(sampling)).state.items().size(), none.state.items().size());
}

TEST(KvCompression, StartsAsTheMeanOfASquare) {
  const PixArtConfig config = compressed(kConv, 3);
  nn::StateDict state;
  const PixArt model(nn::Scope(state), config);
  randomize(state);
  initialize(state, config, {});
  const auto all = [&](const char* name, double value) {
    EXPECT_TRUE(state.get(name).eq(value).all().item<bool>()) << name;
  };
  all("blocks.1.attn.sr.weight", float(1.0 / 9));
  all("blocks.1.attn.sr.bias", 0);
  all("blocks.1.attn.norm.weight", 1);
  all("blocks.1.attn.norm.bias", 0);
}

// The released code's `ave` interpolates to the nearest token.
TEST(KvCompression, AverageTakesTheTokensOfUniform) {
  const TinyKvCompression uniform(compressed(kUniform));
  nn::StateDict state;
  const PixArt average(nn::Scope(state), compressed(kAverage));
  nn::copy_state(state, uniform.state);
  EXPECT_TRUE(at::equal(average.forward(uniform.latent, uniform.timestep, uniform.text), uniform.forward()));
  nn::StateDict plain_state;
  const PixArt plain(nn::Scope(plain_state), compressed(kNone, 2, {}));
  nn::copy_state(plain_state, uniform.state);
  EXPECT_FALSE(
      at::allclose(plain.forward(uniform.latent, uniform.timestep, uniform.text), uniform.forward()));
}

// The released code computes or refuses the same grids.
TEST(KvCompression, GridsThatTheFactorDoesNotDivide) {
  const auto problem = [](KvSampling sampling, int64_t factor, int64_t rows, int64_t cols) {
    return compressed(sampling, factor).kv_compression.grid_problem(rows, cols);
  };
  for (const KvSampling sampling : kAll) EXPECT_EQ(problem(sampling, 2, 4, 6), "") << word_of(sampling);
  EXPECT_EQ(problem(kConv, 2, 3, 5), "");
  EXPECT_EQ(problem(kAverage, 2, 3, 5), "");
  EXPECT_THAT(problem(kUniform, 2, 4, 5), HasSubstr("factor 2 does not divide 4 x 5 tokens"));
  EXPECT_THAT(problem(kEvery, 2, 3, 5), HasSubstr("3 x 5 = 15 tokens"));
  EXPECT_EQ(problem(kEvery, 5, 3, 5), "");
  EXPECT_THAT(problem(kConv, 4, 3, 5), HasSubstr("leaves no key"));
  for (const KvSampling sampling : {kConv, kAverage})
    EXPECT_EQ(TinyKvCompression(compressed(sampling), at::kFloat, 3, 5).forward().sizes(),
              at::IntArrayRef({2, 8, 6, 10}));
  EXPECT_THROW(TinyKvCompression(compressed(kUniform), at::kFloat, 3, 5).forward(), InternalError);
  EXPECT_EQ(compressed(kConv).kv_compression.keys(5, 7), 6);
  EXPECT_EQ(compressed(kEvery, 5).kv_compression.keys(5, 7), 7);
  EXPECT_EQ(compressed(kNone, 2, {}).kv_compression.keys(5, 7), 35);
}

TEST(KvCompression, ContradictionsAreNamed) {
  const auto problems = [](KvSampling sampling, int64_t factor, std::vector<int64_t> layers) {
    return compressed(sampling, factor, std::move(layers)).kv_compression.problems(2);
  };
  EXPECT_THAT(problems(kNone, 2, {}), IsEmpty());
  EXPECT_THAT(problems(kConv, 2, {0, 1}), IsEmpty());
  EXPECT_THAT(problems(kConv, 2, {}), ElementsAre(HasSubstr("needs layers")));
  EXPECT_THAT(problems(kNone, 2, {1}), ElementsAre(HasSubstr("no effect with sampling: none")));
  EXPECT_THAT(problems(kConv, 1, {2, -1, 1, 1}),
              ElementsAre(HasSubstr("factor: 1"), HasSubstr("block 2; the model has blocks 0 to 1"),
                          HasSubstr("block -1"), HasSubstr("block 1 twice")));
  nn::StateDict state;
  EXPECT_THROW(PixArt(nn::Scope(state), compressed(kConv, 2, {2})), InternalError);
}

TEST(KindName, OfEachPixArt) {
  const auto name = [](const TextSizes& sizes) {
    return TransformerConfig(PixArtConfig{{}, sizes}).kind_name();
  };
  EXPECT_EQ(name({}), "PixArt");
  EXPECT_EQ(name({.multi_scale = true, .micro_conditions = true}), "PixArt-MS");
  EXPECT_EQ(name({.multi_scale = true}), "PixArt-Sigma");
  EXPECT_EQ(name({.max_tokens = 300}), "PixArt-Sigma");
  EXPECT_EQ(name(compressed(kEvery)), "PixArt-Sigma");
  EXPECT_EQ(published_transformer("PixArt-Sigma-XL/2").kind_name(), "PixArt-Sigma");
}

class SigmaFolderTest : public ModelFolderTest {};

TEST_F(SigmaFolderTest, ConfigJsonKeepsWhatDiffusersDoesNotHave) {
  const auto back = [&](const PixArtConfig& c) {
    write_pixart_config(config(), c);
    const PixArtConfig read = read_pixart_config(config());
    EXPECT_EQ(read.max_tokens, c.max_tokens);
    EXPECT_EQ(read.multi_scale, c.multi_scale);
    EXPECT_EQ(read.micro_conditions, c.micro_conditions);
    EXPECT_EQ(read.kv_compression, c.kv_compression);
    return read_config();
  };
  const auto sigma = back(pixart_preset("PixArt-Sigma-XL/2"));
  EXPECT_EQ(sigma.at("max_tokens"), 300);
  EXPECT_EQ(sigma.at("use_additional_conditions"), false);
  EXPECT_FALSE(sigma.contains("multi_scale") || sigma.contains("kv_compression"));
  EXPECT_EQ(back(compressed(kConv)).at("multi_scale"), true);
  EXPECT_EQ(back(compressed(kEvery, 3, {0, 1})).at("kv_compression"),
            nlohmann::json({{"sampling", "every"}, {"factor", 3}, {"layers", {0, 1}}}));
  for (const char* name : {"PixArt-XL/2", "PixArt-MS-XL/2"}) {
    const auto alpha = back(pixart_preset(name));
    for (const char* key : {"max_tokens", "multi_scale", "kv_compression"})
      EXPECT_FALSE(alpha.contains(key)) << name << ": " << key;
  }
}

TEST_F(SigmaFolderTest, ValuesOfConfigJsonAreChecked) {
  const auto refused = [&](const nlohmann::json& changes) {
    write_pixart_config(config(), compressed(kConv));
    edit_config(changes);
    return message_of([&] { read_pixart_config(config()); });
  };
  EXPECT_THAT(refused({{"max_tokens", 0}}), HasSubstr("max_tokens is 0"));
  EXPECT_THAT(refused({{"multi_scale", 1}}), HasSubstr("multi_scale is 1"));
  EXPECT_THAT(refused({{"kv_compression", 2}}), HasSubstr("kv_compression is 2; expected an object"));
  const auto with = [&](const nlohmann::json& compression) {
    return refused({{"kv_compression", compression}});
  };
  EXPECT_THAT(with({{"sampling", "ave"}, {"layers", {1}}}),
              HasSubstr("kv_compression: unknown sampling 'ave'; known are none, conv"));
  EXPECT_THAT(with({{"sampling", "conv"}, {"factor", 33}, {"layers", {1}}}),
              HasSubstr("kv_compression: factor is 33"));
  EXPECT_THAT(with({{"sampling", "conv"}, {"layers", {1, 1024}}}), HasSubstr("kv_compression: layers is"));
  EXPECT_THAT(with({{"sampling", "conv"}, {"layers", {7}}}), HasSubstr("the model has blocks 0 to 1"));
}

}  // namespace
}  // namespace pixart::models
