// Golden kinds `dit`, `pixart` and `pixart_sigma`: blocks, outputs, guidance and every gradient of the official models; and
// `control`: blocks, output and gradients of a ControlNet on a PixArt.
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <nlohmann/json.hpp>

#include "golden.h"
#include "golden_models.h"
#include "pixart/formats/tensor_file.h"
#include "pixart/models/transformer.h"

namespace pixart::models {
namespace {

using nlohmann::json;
using testing::dit_config;
using testing::expect_golden;
using testing::GoldenCase;
using testing::pixart_config;

void require_gradients(nn::StateDict& state) {
  for (auto& tensor : state.trainable()) tensor.set_requires_grad(true);
}

void check_blocks(const GoldenCase& c, const std::vector<at::Tensor>& blocks) {
  for (size_t i = 0; i < blocks.size(); ++i)
    if (c.has("out.block." + std::to_string(i)))
      expect_golden(c, "out.block." + std::to_string(i), blocks[i]);
}

// Loss = mean(output * cotangent); every stored gradient, and a gradient for every trainable parameter not
// left out.
void check_gradients(const GoldenCase& c, const nn::StateDict& state, const at::Tensor& output) {
  torch::autograd::backward({(output * c.tensor("in.cotangent")).mean()}, {});
  std::vector<std::string> left_out;
  if (c.json.contains("gradients_left_out"))
    left_out = c.json.at("gradients_left_out").get<std::vector<std::string>>();
  for (const auto& parameter : state.items()) {
    const std::string name = "grad." + parameter.name;
    if (c.has(name))
      expect_golden(c, name, parameter.tensor.grad());
    else
      EXPECT_TRUE(!parameter.trainable || std::count(left_out.begin(), left_out.end(), parameter.name) == 1)
          << c.name << ": no " << name;
  }
}

TEST(GoldenDit, ForwardAndGradient) {
  for (const auto& c : testing::golden_cases("dit")) {
    SCOPED_TRACE(c.name);
    nn::StateDict state;
    const Dit model(nn::Scope(state), dit_config(c.config()));
    nn::load_state(state, c.weights, c.name);
    require_gradients(state);
    std::vector<at::Tensor> blocks;
    const at::Tensor output =
        model.forward(c.tensor("in.x"), c.tensor("in.t"), {.label = c.tensor("in.y")}, &blocks);
    check_blocks(c, blocks);
    expect_golden(c, "out.output", output);
    check_gradients(c, state, output);
    at::NoGradGuard no_grad;
    expect_golden(c, "out.cfg",
                  model.forward_with_guidance(c.tensor("in.cfg.x"), c.tensor("in.cfg.t"),
                                              c.tensor("in.cfg.y"), c.config().at("cfg_scale")));
  }
}

TEST(GoldenDit, PositionsAreComputedAlike) {
  for (const auto& c : testing::golden_cases("dit")) {
    nn::StateDict state;
    const auto config = dit_config(c.config());
    const Dit model(nn::Scope(state), config);
    initialize(state, config, {});
    EXPECT_TRUE(at::allclose(state.get("pos_embed"), c.weights.at("pos_embed"), 0, 1e-6)) << c.name;
  }
}

Condition text_of(const GoldenCase& c, const char* caption) {
  Condition text{.caption = c.tensor(caption),
                 .mask = c.has("in.mask") ? c.tensor("in.mask") : at::Tensor(),
                 .drop = {},
                 .image_size = {},
                 .aspect_ratio = {}};
  if (c.has("in.img_hw"))
    text.image_size = c.tensor("in.img_hw"), text.aspect_ratio = c.tensor("in.aspect_ratio");
  return text;
}

std::vector<GoldenCase> pixart_cases() {
  auto cases = testing::golden_cases("pixart");
  for (auto& c : testing::golden_cases("pixart_sigma")) cases.push_back(std::move(c));
  return cases;
}

TEST(GoldenPixArt, ForwardAndGradient) {
  for (const auto& c : pixart_cases()) {
    SCOPED_TRACE(c.kind + "/" + c.name);
    nn::StateDict state;
    const PixArt model(nn::Scope(state), pixart_config(c.config()));
    nn::load_state(state, c.weights, c.name);
    require_gradients(state);
    std::vector<at::Tensor> blocks;
    Condition text = text_of(c, "in.y");
    if (c.has("in.force_drop_ids")) text.drop = c.tensor("in.force_drop_ids");
    const at::Tensor output = model.forward(c.tensor("in.x"), c.tensor("in.t"), text, &blocks);
    check_blocks(c, blocks);
    expect_golden(c, "out.output", output);
    check_gradients(c, state, output);
  }
}

TEST(GoldenPixArt, Guidance) {
  at::NoGradGuard no_grad;
  int guided_sigmas = 0;
  for (const auto& c : pixart_cases()) {
    SCOPED_TRACE(c.kind + "/" + c.name);
    const bool is_sigma = c.kind == "pixart_sigma";
    if (is_sigma && !c.has("out.cfg")) continue;  // only some of them are
    guided_sigmas += is_sigma ? 1 : 0;
    nn::StateDict state;
    const PixArt model(nn::Scope(state), pixart_config(c.config()));
    nn::load_state(state, c.weights, c.name);
    Condition text = text_of(c, "in.cfg.y");
    const auto guided = [&] {
      return model.forward_with_guidance(c.tensor("in.cfg.x"), c.tensor("in.cfg.t"), text,
                                         c.config().at("cfg_scale"));
    };
    expect_golden(c, "out.cfg", guided());
    EXPECT_EQ(c.has("out.cfg_no_mask"), model.config().micro_conditions);
    if (!c.has("out.cfg_no_mask")) continue;
    text.mask = at::Tensor();
    expect_golden(c, "out.cfg_no_mask", guided());
  }
  EXPECT_GE(guided_sigmas, 2);
}

TEST(GoldenControl, ForwardAndGradient) {
  for (const auto& c : testing::golden_cases("control")) {
    SCOPED_TRACE(c.name);
    nn::StateDict state;
    const PixArt model(nn::Scope(state), pixart_config(c.config()));
    nn::load_state(state, c.weights, c.name);
    for (const auto& item : state.items())  // the model that is controlled is frozen
      if (item.trainable) at::Tensor(item.tensor).set_requires_grad(is_control_name(item.name));
    for (const int64_t recompute_every : {0, 1}) {
      for (const auto& item : state.items()) at::Tensor(item.tensor).mutable_grad() = at::Tensor();
      std::vector<at::Tensor> blocks;
      Condition text = text_of(c, "in.y");
      text.control = c.tensor("in.control"), text.control_strength = c.config().at("strength");
      const at::Tensor output = model.with({.recompute_every = recompute_every})
                                    .forward(c.tensor("in.x"), c.tensor("in.t"), text, &blocks);
      check_blocks(c, blocks);
      expect_golden(c, "out.output", output);
      check_gradients(c, state, output);
    }
    at::NoGradGuard no_grad;
    expect_golden(c, "out.base", model.forward(c.tensor("in.x"), c.tensor("in.t"), text_of(c, "in.y")));
  }
}

// Models of the diffusers library under official names: what the weights mean, and for PixArt, where both
// libraries compute the same function, what diffusers answers.
TEST(GoldenDiffusers, OfficialNamesGiveTheOfficialOutput) {
  at::NoGradGuard no_grad;
  for (const auto& c : testing::golden_cases("dit_diffusers")) {
    nn::StateDict state;
    const Dit model(nn::Scope(state), dit_config(c.config().at("official")));
    nn::load_state(state, formats::load_safetensors(c.folder / "official.safetensors").tensors, c.name);
    expect_golden(c, "out.official",
                  model.forward(c.tensor("in.x"), c.tensor("in.t"), {.label = c.tensor("in.y")}));
  }
  for (const auto& c : testing::golden_cases("pixart_diffusers")) {
    nn::StateDict state;
    const PixArt model(nn::Scope(state), pixart_config(c.config().at("official")));
    nn::load_state(state, formats::load_safetensors(c.folder / "official.safetensors").tensors, c.name);
    std::vector<at::Tensor> blocks;
    expect_golden(c, "out.output",
                  model.forward(c.tensor("in.x"), c.tensor("in.t"), text_of(c, "in.y"), &blocks));
    check_blocks(c, blocks);
  }
}

}  // namespace
}  // namespace pixart::models
