#include "pixart/models/dit.h"

#include <gmock/gmock.h>

#include "pixart/base/error.h"
#include "transformer_checks.h"

namespace pixart::models {
namespace {

constexpr DitConfig kTiny{{.input_size = 4, .in_channels = 4, .hidden_size = 8, .depth = 2, .num_heads = 2},
                          {.num_classes = 3}};

struct TinyDit {
  nn::StateDict state;
  Dit model;
  at::Tensor latent, timestep, label = at::tensor({0, 3, 1});
  explicit TinyDit(at::ScalarType dtype = at::kFloat)
      : state({.dtype = dtype}),
        model(nn::Scope(state), kTiny),
        latent(at::randn({3, 4, 4, 4}, dtype)),
        timestep(at::tensor({0.0, 333.25, 999.0}, at::kFloat)) {
    randomize(state);
  }
};

TEST(Dit, AnalyticGradientsAreTheNumericOnes) {
  const TinyDit tiny(at::kDouble);
  // The null class and class 2 must not be mixed up with the labels in use, so every row is used but one.
  const at::Tensor label = at::tensor({0, 3, 1, 2}), latent = at::randn({4, 4, 4, 4}, at::kDouble);
  const at::Tensor timestep = at::tensor({0.0, 333.25, 999.0, 20.0}, at::kFloat);
  check_gradients(tiny.state, [&] { return tiny.model.forward(latent, timestep, {.label = label}); });
}

TEST(Dit, SamplesDoNotSeeEachOther) {
  const TinyDit tiny(at::kDouble);
  const at::Tensor together = tiny.model.forward(tiny.latent, tiny.timestep, {.label = tiny.label});
  for (int64_t i = 0; i < 3; ++i) {
    const at::Tensor alone = tiny.model.forward(tiny.latent.narrow(0, i, 1), tiny.timestep.narrow(0, i, 1),
                                                {.label = tiny.label.narrow(0, i, 1)});
    EXPECT_LT(relative_distance(alone, together.narrow(0, i, 1)), 1e-12);  // float64 rounding
  }
}

TEST(Dit, GivesOneOutputPerBlock) {
  const TinyDit tiny;
  std::vector<at::Tensor> blocks;
  tiny.model.forward(tiny.latent, tiny.timestep, {.label = tiny.label}, &blocks);
  ASSERT_EQ(blocks.size(), 2u);
  EXPECT_EQ(blocks[1].sizes(), at::IntArrayRef({3, 4, 8}));
}

TEST(Dit, RecomputedBlocksChangeNoBit) {
  DitConfig config = kTiny;
  config.depth = 3;
  for (const int64_t micro_batches : {1, 3}) {
    nn::StateDict state;
    const Dit first(nn::Scope(state), config);
    randomize(state);
    const TinyDit inputs;
    const int64_t size = 3 / micro_batches;
    check_recompute(
        state,
        [&](const Execution& execution, int64_t i) {
          const auto part = [&](const at::Tensor& tensor) { return tensor.narrow(0, i * size, size); };
          return first.with(execution).forward(part(inputs.latent), part(inputs.timestep),
                                               {.label = part(inputs.label)});
        },
        micro_batches);
  }
}

TEST(Dit, FloatWeightsRunInBfloat16) {
  DitConfig config = kTiny;
  config.hidden_size = 64;
  nn::StateDict state;
  const Dit wide(nn::Scope(state), config);
  randomize(state, 0.1);
  const TinyDit inputs;
  const Dit narrow = wide.with({.dtype = at::kBFloat16});
  std::vector<at::Tensor> blocks;
  EXPECT_LT(
      bfloat16_distance(narrow.forward(inputs.latent, inputs.timestep, {.label = inputs.label}, &blocks),
                        wide.forward(inputs.latent, inputs.timestep, {.label = inputs.label})),
      kBfloat16Distance);
  EXPECT_EQ(blocks.at(0).scalar_type(), at::kFloat) << "the residual stream";
  const auto results = loss_and_gradients(
      state, [&](int64_t) { return narrow.forward(inputs.latent, inputs.timestep, {.label = inputs.label}); },
      1);
  for (const auto& gradient : results) EXPECT_EQ(gradient.scalar_type(), at::kFloat);
}

TEST(Dit, GuidanceMixesThreeChannelsAndPassesTheOthers) {
  const TinyDit tiny(at::kDouble);
  const at::Tensor latent = tiny.latent.narrow(0, 0, 1), timestep = at::full({2}, 41.0),
                   label = at::tensor({1, 3});
  const auto plain = tiny.model.forward(latent.repeat({2, 1, 1, 1}), timestep, {.label = label});
  const at::Tensor ignored = at::randn({1, 4, 4, 4}, at::kDouble);
  for (const double scale : {0.0, 1.0, 4.0}) {
    const auto guided = tiny.model.forward_with_guidance(at::cat({latent, ignored}), timestep, label, scale);
    const at::Tensor want =
        plain[1].narrow(0, 0, 3) + scale * (plain[0].narrow(0, 0, 3) - plain[1].narrow(0, 0, 3));
    for (int64_t half = 0; half < 2; ++half) {
      EXPECT_LT(relative_distance(guided[half].narrow(0, 0, 3), want), 1e-12);
      EXPECT_LT(relative_distance(guided[half].narrow(0, 3, 5), plain[half].narrow(0, 3, 5)), 1e-12);
    }
  }
}

TEST(Dit, ALatentMeetsSeveralLabels) {
  const TinyDit tiny(at::kDouble);
  const at::Tensor label = at::tensor({0, 3, 1, 2, 2, 3}), twice = tiny.latent.repeat({2, 1, 1, 1});
  const at::Tensor got = tiny.model.forward(tiny.latent, tiny.timestep, {.label = label});
  EXPECT_LT(relative_distance(got, tiny.model.forward(twice, tiny.timestep.repeat({2}), {.label = label})),
            1e-12);
  const at::Tensor one = at::full({1}, 20.5);
  EXPECT_LT(relative_distance(tiny.model.forward(tiny.latent, one.expand(3), {.label = label}),
                              tiny.model.forward(twice, one.repeat({6}), {.label = label})),
            1e-12);
}

TEST(Dit, AnotherGridNeedsOtherPositions) {
  const TinyDit tiny;
  const at::Tensor latent = at::randn({3, 4, 2, 8});
  EXPECT_THROW(tiny.model.forward(latent, tiny.timestep, {.label = tiny.label}), InternalError);
  const at::Tensor positions = at::randn({1, 4, 8});
  EXPECT_EQ(tiny.model.forward(latent, tiny.timestep, {.label = tiny.label}, nullptr, positions).sizes(),
            at::IntArrayRef({3, 8, 2, 8}));
}

TEST(Dit, RunsInBfloat16) {
  const DitConfig config{{.input_size = 8, .hidden_size = 64, .depth = 2, .num_heads = 2},
                         {.num_classes = 3}};
  nn::StateDict wide_state, state({.dtype = at::kBFloat16});
  const Dit wide(nn::Scope(wide_state), config), model(nn::Scope(state), config);
  randomize(state, 0.1);
  nn::copy_state(wide_state, state);
  const at::Tensor latent = at::randn({3, 4, 8, 8}).to(at::kBFloat16);
  const at::Tensor timestep = at::tensor({0.0, 333.25, 999.0}, at::kFloat), label = at::tensor({0, 3, 1});
  EXPECT_LT(bfloat16_distance(model.forward(latent, timestep, {.label = label}),
                              wide.forward(latent.to(at::kFloat), timestep, {.label = label})),
            kBfloat16Distance);
}

TEST(DitPreset, XL2HasThePublishedSize) {
  nn::StateDict state({.device = at::kMeta});
  const Dit model(nn::Scope(state), dit_preset("DiT-XL/2"));
  EXPECT_EQ(state.num_parameters(), 674834720);
  EXPECT_EQ(state.num_parameters() + state.get("pos_embed").numel(), 675129632);
  EXPECT_EQ(state.items().size(), 292u);
}

// Trainable numbers by the table of section 2.1: patch, timestep MLP, label table, blocks, final layer.
TEST(DitPreset, EverySizeAndPatch) {
  const std::map<std::string, std::array<int64_t, 3>> sizes = {
      {"S", {384, 12, 6}}, {"B", {768, 12, 12}}, {"L", {1024, 24, 16}}, {"XL", {1152, 28, 16}}};
  ASSERT_EQ(dit_preset_names().size(), 12u);
  for (const auto& name : dit_preset_names()) {
    const auto config = dit_preset(name);
    const size_t slash = name.find('/');
    const auto [width, depth, heads] = sizes.at(name.substr(4, slash - 4));
    const int64_t patch = std::stoll(name.substr(slash + 1));
    EXPECT_EQ(config.patch_size, patch);
    EXPECT_EQ(config.num_heads, heads);
    nn::StateDict state({.device = at::kMeta});
    const Dit model(nn::Scope(state), config);
    const int64_t d = width, square = d * d, area = patch * patch;
    const int64_t block = 18 * square + 15 * d;  // qkv, proj, fc1, fc2, adaLN with their biases
    const int64_t rest = 4 * area * d + d + (256 * d + d) + (square + d) + 1001 * d + (2 * square + 2 * d) +
                         8 * area * (d + 1);
    EXPECT_EQ(state.num_parameters(), depth * block + rest) << name;
  }
}

TEST(DitPreset, AnUnknownNameListsTheKnownOnes) {
  try {
    dit_preset("DiT-XL/3");
    ADD_FAILURE();
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(),
                ::testing::AllOf(::testing::HasSubstr("DiT-S/2"), ::testing::HasSubstr("DiT-XL/8"),
                                 ::testing::HasSubstr("Did you mean")));
  }
}

}  // namespace
}  // namespace pixart::models
