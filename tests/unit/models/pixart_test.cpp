#include "pixart/models/pixart.h"

#include <ATen/record_function.h>
#include <gmock/gmock.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>

#include "model_folder.h"
#include "pixart/base/error.h"
#include "pixart/models/transformer.h"
#include "transformer_checks.h"

namespace pixart::models {
namespace {

PixArtConfig tiny_config(bool multi_scale = false) {
  return {
      {.input_size = 4, .hidden_size = 12, .depth = 2, .num_heads = 2},
      {.caption_channels = 5, .max_tokens = 4, .multi_scale = multi_scale, .micro_conditions = multi_scale}};
}

// Three samples with one, two and four tokens; the second has its caption dropped.
struct TinyPixart {
  nn::StateDict state;
  PixArt model;
  at::Tensor latent, timestep;
  Condition text;

  explicit TinyPixart(at::ScalarType dtype = at::kFloat, bool multi_scale = false)
      : state({.dtype = dtype}),
        model(nn::Scope(state), tiny_config(multi_scale)),
        latent(at::randn({3, 4, multi_scale ? 2 : 4, multi_scale ? 6 : 4}, dtype)),
        timestep(at::tensor({0.0, 333.25, 999.0}, at::kFloat)) {
    randomize(state);
    text.caption = at::randn({3, 4, 5}, dtype);
    text.mask = at::tensor({1, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1}).view({3, 4});
    text.drop = at::tensor({0, 1, 0});
    if (!multi_scale) return;
    text.image_size = at::tensor({256.0, 512.0, 100.0, 90.0, 333.0, 64.0}, at::kFloat).view({3, 2});
    text.aspect_ratio = at::tensor({0.5, 1.1, 5.2}, at::kFloat).view({3, 1});
  }
  at::Tensor forward() const { return model.forward(latent, timestep, text); }
};

TEST(PixArt, AnalyticGradientsAreTheNumericOnes) {
  for (const bool multi_scale : {false, true}) {
    SCOPED_TRACE(multi_scale);
    const TinyPixart tiny(at::kDouble, multi_scale);
    check_gradients(tiny.state, [&] { return tiny.forward(); });
  }
}

// A model with a ControlNet, and the model that it controls.
struct Controlled {
  static PixArtConfig config(int64_t control_blocks) {
    PixArtConfig result = tiny_config();
    result.depth = 3, result.control_blocks = control_blocks;
    return result;
  }
  nn::StateDict state, base_state;
  PixArt model, base;
  at::Tensor latent = at::randn({3, 4, 4, 4}), timestep = at::tensor({0.0, 333.25, 999.0}, at::kFloat);
  Condition text{.caption = at::randn({3, 4, 5}), .control = at::randn({3, 4, 4, 4})};

  Controlled() : model(nn::Scope(state), config(2)), base(nn::Scope(base_state), config(0)) {
    randomize(base_state);
    at::NoGradGuard no_grad;
    for (const auto& item : state.items()) {
      const std::string source = is_control_name(item.name) ? copied_from(item.name) : item.name;
      if (source.empty())
        at::Tensor(item.tensor).zero_();
      else
        at::Tensor(item.tensor).copy_(base_state.get(source));
    }
  }
};

TEST(PixArtControl, AtStepZeroItIsTheModelThatItControls) {
  const Controlled tiny;
  EXPECT_TRUE(at::equal(tiny.model.forward(tiny.latent, tiny.timestep, tiny.text),
                        tiny.base.forward(tiny.latent, tiny.timestep, tiny.text)));
}

TEST(PixArtControl, WithoutControlOrStrengthItIsTheModelThatItControls) {
  Controlled tiny;
  randomize(tiny.state);
  at::NoGradGuard no_grad;
  for (const auto& item : tiny.base_state.items()) at::Tensor(item.tensor).copy_(tiny.state.get(item.name));
  const at::Tensor base = tiny.base.forward(tiny.latent, tiny.timestep, tiny.text),
                   controlled = tiny.model.forward(tiny.latent, tiny.timestep, tiny.text);
  EXPECT_GT(relative_distance(controlled, base), 1e-3);
  tiny.text.control_strength = 0;
  EXPECT_TRUE(at::equal(tiny.model.forward(tiny.latent, tiny.timestep, tiny.text), base));
  tiny.text.control = at::Tensor();
  EXPECT_TRUE(at::equal(tiny.model.forward(tiny.latent, tiny.timestep, tiny.text), base));
}

// What a sampler asks: one latent for a caption and its null, prepared for many timesteps.
TEST(PixArtControl, GuidedCallsGiveTheSame) {
  Controlled tiny;
  randomize(tiny.state);
  at::NoGradGuard no_grad;
  const Condition both = joined(tiny.text, tiny.text), prepared = tiny.model.prepared(both);
  const at::Tensor twice = tiny.model.forward(tiny.latent, tiny.timestep, prepared);
  const at::Tensor once = tiny.model.forward(tiny.latent, tiny.timestep, tiny.text);
  EXPECT_LT(relative_distance(twice.narrow(0, 0, 3), once), 1e-5);  // float32: other shapes of products
  EXPECT_LT(relative_distance(twice.narrow(0, 3, 3), once), 1e-5);
  EXPECT_EQ(TransformerConfig(Controlled::config(2)).control_blocks(), 2);
}

TEST(PixArtControl, RecomputedBlocksChangeNoGradient) {
  Controlled tiny;
  randomize(tiny.state);
  std::vector<at::Tensor> plain;
  for (const int64_t every : {0, 1, 2}) {
    std::vector<at::Tensor> gradients;
    for (auto& tensor : tiny.state.trainable())
      tensor.set_requires_grad(true), tensor.mutable_grad() = at::Tensor();
    const at::Tensor output =
        tiny.model.with({.recompute_every = every}).forward(tiny.latent, tiny.timestep, tiny.text);
    torch::autograd::backward({output.square().mean()}, {});
    for (const auto& tensor : tiny.state.trainable()) gradients.push_back(tensor.grad().clone());
    if (every == 0) plain = gradients;
    for (size_t i = 0; i < plain.size(); ++i) EXPECT_TRUE(at::equal(gradients[i], plain[i])) << i;
  }
}

// Neither another sample's longer caption nor what stands behind the mask may be felt.
TEST(PixArt, SamplesDoNotSeeEachOtherOrPadding) {
  const TinyPixart tiny(at::kDouble, true);
  const at::Tensor together = tiny.forward();
  for (int64_t i = 0; i < 3; ++i) {
    const auto one = [&](const at::Tensor& tensor) { return tensor.narrow(0, i, 1); };
    Condition text{.caption = one(tiny.text.caption).clone(),
                   .mask = one(tiny.text.mask),
                   .drop = one(tiny.text.drop),
                   .image_size = one(tiny.text.image_size),
                   .aspect_ratio = one(tiny.text.aspect_ratio)};
    text.caption.masked_fill_(text.mask.eq(0).unsqueeze(2), 1e3);
    EXPECT_LT(
        relative_distance(tiny.model.forward(one(tiny.latent), one(tiny.timestep), text), one(together)),
        1e-12);  // float64 rounding
  }
}

TEST(PixArt, DropReplacesTheFeaturesAndKeepsTheMask) {
  const TinyPixart tiny(at::kDouble);
  Condition replaced = tiny.text;
  replaced.drop = at::Tensor();
  replaced.caption = tiny.text.caption.clone();
  replaced.caption[1].copy_(tiny.model.null_caption());
  EXPECT_TRUE(at::equal(tiny.forward(), tiny.model.forward(tiny.latent, tiny.timestep, replaced)));
  replaced.mask = at::tensor({1, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1}).view({3, 4});
  EXPECT_GT(relative_distance(tiny.model.forward(tiny.latent, tiny.timestep, replaced), tiny.forward()),
            1e-4);
}

// As samplers use it: at every timestep the bits of forward(), whether all blocks' keys are kept, one, or none.
TEST(PixArt, PreparedCaptionsGiveTheSameBitsAtEveryTimestep) {
  constexpr int64_t kAll = int64_t{1} << 30;
  for (const bool narrow : {false, true}) {
    const TinyPixart tiny(at::kFloat, true);
    const PixArt model = narrow ? tiny.model.with({.dtype = at::kBFloat16}) : tiny.model;
    const int64_t of_a_block = 3 * 4 * 2 * 12 * (narrow ? 2 : 4);
    for (const auto& [most_bytes, blocks] : {std::pair{kAll, 2}, {of_a_block, 1}, {of_a_block - 1, 0}}) {
      Condition prepared = model.prepared(tiny.text, most_bytes);
      EXPECT_EQ(prepared.prepared->keys_and_values.size(), size_t(blocks));
      prepared.caption = at::Tensor();  // not read any more
      for (const double time : {0.0, 333.25, 999.0}) {
        const at::Tensor timestep = at::full({3}, time);
        EXPECT_TRUE(at::equal(model.forward(tiny.latent, timestep, prepared),
                              model.forward(tiny.latent, timestep, tiny.text)))
            << most_bytes << " bytes, timestep " << time;
      }
    }
  }
}

// Two captions for each latent, and one timestep for all.
struct Pairs {
  Condition text;
  at::Tensor twice, time, times;  // latents [2B]; the timestep expanded, and written out

  explicit Pairs(const TinyPixart& tiny)
      : text(tiny.text),
        twice(tiny.latent.repeat({2, 1, 1, 1})),
        time(at::full({1}, 333.25).expand(3)),
        times(at::full({6}, 333.25)) {
    text.drop = at::Tensor();
    for (at::Tensor* tensor : {&text.mask, &text.image_size, &text.aspect_ratio})
      if (tensor->defined()) *tensor = at::cat({*tensor, *tensor});
    text.caption = at::cat({text.caption, at::randn_like(text.caption)});
  }
};

TEST(PixArt, ALatentMeetsSeveralCaptions) {
  for (const bool multi_scale : {false, true}) {
    const TinyPixart tiny(at::kDouble, multi_scale);
    const Pairs pairs(tiny);
    const at::Tensor got = tiny.model.forward(tiny.latent, pairs.time, pairs.text);
    EXPECT_EQ(got.size(0), 6);
    EXPECT_LT(relative_distance(got, tiny.model.forward(pairs.twice, pairs.times, pairs.text)), 1e-12);
    const at::Tensor own = at::tensor({0.0, 333.25, 999.0});
    EXPECT_LT(relative_distance(tiny.model.forward(tiny.latent, own, pairs.text),
                                tiny.model.forward(pairs.twice, own.repeat({2}), pairs.text)),
              1e-12);
  }
}

// Rows that pass through linear layers with this number of outputs.
int64_t rows_through(int64_t outputs, const std::function<void()>& work) {
  static int64_t wanted, rows;
  wanted = outputs, rows = 0;
  const auto callback = at::addThreadLocalCallback(
      at::RecordFunctionCallback([](const at::RecordFunction& call) -> std::unique_ptr<at::ObserverContext> {
        if (call.name() != std::string("aten::linear")) return nullptr;
        const auto& x = call.inputs()[0].toTensor();
        if (call.inputs()[1].toTensor().size(0) == wanted) rows += x.numel() / x.size(-1);
        return nullptr;
      }).needsInputs(true));
  work();
  at::removeCallback(callback);
  return rows;
}

// The queries, keys and values (36) of the first of two blocks, and the modulation (72) of all.
TEST(PixArt, WhatCaptionsDoNotChangeIsComputedOnceForEachLatent) {
  const TinyPixart tiny;
  const Pairs pairs(tiny);
  const auto shared = [&] { tiny.model.forward(tiny.latent, pairs.time, pairs.text); };
  const auto apart = [&] { tiny.model.forward(pairs.twice, pairs.times, pairs.text); };
  constexpr int64_t kTokens = 4;
  EXPECT_EQ(rows_through(36, shared), 3 * kTokens + 6 * kTokens);
  EXPECT_EQ(rows_through(36, apart), 2 * 6 * kTokens);
  EXPECT_EQ(rows_through(72, shared), 1);
  EXPECT_EQ(rows_through(72, apart), 6);
}

TEST(PixArt, TheOfficialCaptionShapeIsTakenToo) {
  const TinyPixart tiny;
  Condition text = tiny.text;
  text.caption = text.caption.unsqueeze(1);
  EXPECT_TRUE(at::equal(tiny.model.forward(tiny.latent, tiny.timestep, text), tiny.forward()));
}

TEST(PixArt, WithoutCrossAttentionOutputTextHasNoInfluence) {
  const TinyPixart tiny;
  Condition other = tiny.text;
  other.caption = at::randn({3, 2, 5});
  other.mask = other.drop = at::Tensor();
  EXPECT_FALSE(at::equal(tiny.model.forward(tiny.latent, tiny.timestep, other), tiny.forward()));
  for (const auto& item : tiny.state.items())
    if (item.name.find("cross_attn.proj") != std::string::npos) at::Tensor(item.tensor).zero_();
  EXPECT_TRUE(at::equal(tiny.model.forward(tiny.latent, tiny.timestep, other), tiny.forward()));
}

TEST(PixArt, GuidanceMixesThreeChannelsAndRepeatsTheMask) {
  const TinyPixart tiny(at::kDouble);
  const at::Tensor timestep = tiny.timestep.repeat({2}), null = tiny.model.null_caption().expand({3, 4, 5});
  Condition both = tiny.text;
  both.drop = at::Tensor();
  both.caption = at::cat({tiny.text.caption, null});
  Condition with_mask = both;
  with_mask.mask = tiny.text.mask.repeat({2, 1});
  const auto plain = tiny.model.forward(tiny.latent.repeat({2, 1, 1, 1}), timestep, with_mask).chunk(2);
  const at::Tensor latents = at::cat({tiny.latent, at::randn_like(tiny.latent)});
  for (const double scale : {0.0, 1.0, 4.5}) {
    const auto guided = tiny.model.forward_with_guidance(latents, timestep, both, scale).chunk(2);
    const at::Tensor conditional = plain[0].narrow(1, 0, 3), unconditional = plain[1].narrow(1, 0, 3);
    for (size_t half = 0; half < 2; ++half) {
      EXPECT_LT(relative_distance(guided[half].narrow(1, 0, 3),
                                  unconditional + scale * (conditional - unconditional)),
                1e-12);
      EXPECT_LT(relative_distance(guided[half].narrow(1, 3, 5), plain[half].narrow(1, 3, 5)), 1e-12);
    }
  }
}

TEST(PixArt, MultiScaleMakesPositionsForEachGrid) {
  const TinyPixart tiny(at::kDouble, true);
  const at::Tensor first = tiny.forward();
  Condition text = tiny.text;
  const at::Tensor tall = tiny.model.forward(tiny.latent.transpose(2, 3), tiny.timestep, text);
  EXPECT_EQ(tall.sizes(), at::IntArrayRef({3, 8, 6, 2}));
  EXPECT_TRUE(at::equal(tiny.forward(), first));
  tiny.state.get("pos_embed").zero_();  // the table of the base grid is not used
  EXPECT_TRUE(at::equal(tiny.forward(), first));
}

TEST(PixArt, AnyGridNeedsNoMicroConditions) {
  PixArtConfig config = tiny_config(true);
  config.micro_conditions = false;
  nn::StateDict state;
  const PixArt model(nn::Scope(state), config);
  randomize(state);
  EXPECT_FALSE(state.contains("csize_embedder.mlp.0.weight"));
  const TinyPixart inputs(at::kFloat, true);
  Condition without = inputs.text;
  without.image_size = without.aspect_ratio = at::Tensor();
  EXPECT_TRUE(at::equal(model.forward(inputs.latent, inputs.timestep, without),
                        model.forward(inputs.latent, inputs.timestep, inputs.text)));
}

TEST(PixArt, WhatCannotFitIsOurBug) {
  const TinyPixart fixed, multi(at::kFloat, true);
  EXPECT_THROW(fixed.model.forward(at::zeros({3, 4, 2, 8}), fixed.timestep, fixed.text), InternalError);
  EXPECT_THROW(multi.model.forward(multi.latent, multi.timestep, fixed.text), InternalError);
  Condition shorter = fixed.text;
  shorter.caption = shorter.caption.narrow(1, 0, 3);
  shorter.mask = shorter.mask.narrow(1, 0, 3);
  EXPECT_THROW(fixed.model.forward(fixed.latent, fixed.timestep, shorter), InternalError);
  nn::StateDict state;
  EXPECT_THROW(PixArt(nn::Scope(state), {{.hidden_size = 10, .num_heads = 4}, {}}), InternalError);
}

TEST(PixArt, RunsInBfloat16) {
  for (const bool multi_scale : {false, true}) {
    PixArtConfig config = tiny_config(multi_scale);
    config.hidden_size = 60;
    nn::StateDict wide_state, state({.dtype = at::kBFloat16});
    const PixArt wide(nn::Scope(wide_state), config), model(nn::Scope(state), config);
    randomize(state, 0.1);
    nn::copy_state(wide_state, state);
    const TinyPixart inputs(at::kBFloat16, multi_scale);
    Condition text = inputs.text;
    text.caption = text.caption.to(at::kFloat);
    EXPECT_LT(bfloat16_distance(model.forward(inputs.latent, inputs.timestep, inputs.text),
                                wide.forward(inputs.latent.to(at::kFloat), inputs.timestep, text)),
              kBfloat16Distance);
  }
}

TEST(PixArt, RecomputedBlocksChangeNoBit) {
  for (const bool multi_scale : {false, true})
    for (const int64_t micro_batches : {1, 3}) {
      PixArtConfig config = tiny_config(multi_scale);
      config.depth = 3;
      nn::StateDict state;
      const PixArt first(nn::Scope(state), config);
      randomize(state);
      const TinyPixart inputs(at::kFloat, multi_scale);
      const int64_t size = 3 / micro_batches;
      check_recompute(
          state,
          [&](const Execution& execution, int64_t i) {
            const auto part = [&](const at::Tensor& tensor) {
              return tensor.defined() ? tensor.narrow(0, i * size, size) : tensor;
            };
            return first.with(execution).forward(part(inputs.latent), part(inputs.timestep),
                                                 {.caption = part(inputs.text.caption),
                                                  .mask = part(inputs.text.mask),
                                                  .drop = part(inputs.text.drop),
                                                  .image_size = part(inputs.text.image_size),
                                                  .aspect_ratio = part(inputs.text.aspect_ratio)});
          },
          micro_batches);
    }
}

TEST(PixArt, FloatWeightsRunInBfloat16) {
  for (const bool multi_scale : {false, true}) {
    PixArtConfig config = tiny_config(multi_scale);
    config.hidden_size = 60;
    nn::StateDict state;
    const PixArt wide(nn::Scope(state), config), narrow = wide.with({.dtype = at::kBFloat16});
    randomize(state, 0.1);
    const TinyPixart inputs(at::kFloat, multi_scale);
    std::vector<at::Tensor> blocks;
    EXPECT_LT(bfloat16_distance(narrow.forward(inputs.latent, inputs.timestep, inputs.text, &blocks),
                                wide.forward(inputs.latent, inputs.timestep, inputs.text)),
              kBfloat16Distance);
    EXPECT_EQ(blocks.at(0).scalar_type(), at::kFloat) << "the residual stream";
    const auto results = loss_and_gradients(
        state, [&](int64_t) { return narrow.forward(inputs.latent, inputs.timestep, inputs.text); }, 1);
    for (const auto& gradient : results) EXPECT_EQ(gradient.scalar_type(), at::kFloat);
  }
}

struct Published {
  const char* name;
  int64_t numbers;
  size_t parameters;
};

TEST(PixArtPreset, HasThePublishedSizes) {
  for (const auto& published :
       {Published{"PixArt-XL/2", 610856096, 435}, Published{"PixArt-MS-XL/2", 611349152, 443},
        Published{"PixArt-Sigma-XL/2", 610856096, 435}}) {
    nn::StateDict state({.device = at::kMeta});
    const PixArt model(nn::Scope(state), pixart_preset(published.name));
    EXPECT_EQ(state.num_parameters(), published.numbers) << published.name;
    EXPECT_EQ(state.trainable().size(), published.parameters);
    EXPECT_EQ(state.items().size(), published.parameters + 2);
  }
}

TEST(PixArtPreset, AnUnknownNameListsTheKnownOnes) {
  try {
    pixart_preset("PixArt-XL-2");
    ADD_FAILURE();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(),
                ::testing::AllOf(::testing::HasSubstr("PixArt-XL/2"), ::testing::HasSubstr("PixArt-MS-XL/2"),
                                 ::testing::HasSubstr("Did you mean 'PixArt-XL/2'?")));
  }
}

class PixArtFolderTest : public ModelFolderTest {};

TEST_F(PixArtFolderTest, NumbersOfTheConfigHaveBounds) {
  const auto refused = [&](const nlohmann::json& changes) {
    write_pixart_config(config(), tiny_config());
    edit_config(changes);
    return message_of([&] { read_pixart_config(config()); });
  };
  for (const char* key : {"num_attention_heads", "attention_head_dim", "num_layers", "sample_size",
                          "patch_size", "in_channels", "caption_channels"})
    for (const nlohmann::json& value : {nlohmann::json(0), nlohmann::json(int64_t{1} << 31),
                                        nlohmann::json(UINT64_MAX), nlohmann::json(1e308)})
      EXPECT_THAT(refused({{key, value}}), ::testing::HasSubstr(std::string(key) + " is ")) << value;
  EXPECT_THAT(refused({{"num_attention_heads", 65536}, {"attention_head_dim", 65536}}),
              ::testing::HasSubstr("the width is at most 65536"));
}

}  // namespace
}  // namespace pixart::models
