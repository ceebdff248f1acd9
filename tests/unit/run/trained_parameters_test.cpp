#include "pixart/run/trained_parameters.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pixart/base/error.h"
#include "pixart/nn/layers.h"

namespace pixart::run {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// What is trained of a small model.
std::vector<std::string> trained(const StageConfig& stage) {
  nn::StateDict state;
  for (const char* name :
       {"x_embedder.weight", "blocks.0.attn.weight", "blocks.0.attn.bias", "blocks.1.mlp.weight"})
    state.add(name, {2});
  state.add("pos_embed", {2}, /*trainable=*/false);
  choose_trained(stage, state);
  return nn::trainable_names(state);
}

StageConfig stage_with(std::vector<std::string> frozen, std::vector<std::string> no_decay = {}) {
  StageConfig stage;
  stage.name = "fine";
  stage.frozen = std::move(frozen);
  stage.optimizer.no_decay = std::move(no_decay);
  return stage;
}

std::string error_of(const StageConfig& stage) {
  try {
    trained(stage);
  } catch (const UserError& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    return error.what();
  }
  return "";
}

TEST(ChooseTrained, FrozenPatternsTakeParametersOut) {
  EXPECT_EQ(trained(stage_with({})).size(), 4u);
  EXPECT_THAT(trained(stage_with({"blocks.*"})), ElementsAre("x_embedder.weight"));
  EXPECT_THAT(trained(stage_with({"*.attn.*", "x_*"}, {"*.weight"})), ElementsAre("blocks.1.mlp.weight"));
}

TEST(ChooseTrained, PatternsWithoutMatchAreNamedTogether) {
  EXPECT_THAT(error_of(stage_with({"blocks.*.atn.*"}, {"*.biass"})),
              AllOf(HasSubstr("stage fine"), HasSubstr("frozen: 'blocks.*.atn.*' matches no parameter."),
                    HasSubstr("Did you mean 'blocks.*.attn.*'?"), HasSubstr("optimizer.no_decay: '*.biass'"),
                    HasSubstr("Did you mean '*.bias'?")));
  // A buffer is not trained anyway, and what is frozen has no decay.
  EXPECT_THAT(error_of(stage_with({"pos_embed"})), HasSubstr("matches no parameter"));
  EXPECT_THAT(error_of(stage_with({"*.bias"}, {"*.bias"})), HasSubstr("matches no trained parameter"));
}

TEST(ChooseTrained, SomethingMustBeTrained) {
  EXPECT_THAT(error_of(stage_with({"*"})), HasSubstr("frozen: none of"));
}

// Two linear layers under names of a DiT.
void add_layers(nn::StateDict& state) {
  const nn::Scope block = nn::Scope(state) / "blocks" / 0;
  nn::Linear(block / "attn" / "qkv", 4, 12), nn::Linear(block / "mlp" / "fc1", 4, 8);
  nn::Linear(nn::Scope(state) / "t_block" / 1, 4, 4);
}

StageConfig lora_stage(std::vector<std::string> targets) {
  StageConfig stage = stage_with({});
  stage.objective = "class_conditional";
  stage.lora = {.rank = 2, .alpha = {}, .targets = std::move(targets)};
  return stage;
}

TEST(AddAdapters, OnlyTheyAreTrained) {
  nn::StateDict state;
  add_layers(state);
  const auto stage = lora_stage({});
  add_adapters(stage, state);
  choose_trained(stage, state);
  EXPECT_THAT(nn::trainable_names(state),
              ElementsAre("blocks.0.attn.qkv.lora_A.weight", "blocks.0.attn.qkv.lora_B.weight",
                          "blocks.0.mlp.fc1.lora_A.weight", "blocks.0.mlp.fc1.lora_B.weight"));
  EXPECT_EQ(state.linears().front().lora->scale, 1);  // alpha is the rank
}

TEST(AddAdapters, TargetsAreNamesOfLinearLayers) {
  nn::StateDict state;
  add_layers(state);
  try {
    add_adapters(lora_stage({"t_block.*", "blocks.*.atn.*"}), state);
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("stage fine"),
                                    HasSubstr("lora.targets: 'blocks.*.atn.*' matches no linear layer."),
                                    HasSubstr("Did you mean 'blocks.*.attn.*'?")));
  }
}

}  // namespace
}  // namespace pixart::run
