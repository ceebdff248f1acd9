#include "pixart/convert/reparameterize.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cmath>

#include "pixart/base/error.h"

namespace pixart::convert {
namespace {

using ::testing::HasSubstr;

constexpr models::DitConfig kDit{{.input_size = 8, .hidden_size = 24, .depth = 2, .num_heads = 2},
                                 {.num_classes = 3}};

models::PixArtConfig target_config() {
  return {{.input_size = 8, .hidden_size = 24, .depth = 2, .num_heads = 2},
          {.caption_channels = 6, .max_tokens = 4}};
}

struct Pair {
  models::DitConfig dit_config;
  models::PixArtConfig pixart_config;
  nn::StateDict source, target;
  models::Dit dit;
  models::PixArt pixart;

  explicit Pair(const models::PixArtConfig& target_of = target_config(),
                const models::DitConfig& source_of = kDit, at::ScalarType dtype = at::kFloat)
      : dit_config(source_of),
        pixart_config(target_of),
        source({.dtype = dtype}),
        target({.dtype = dtype}),
        dit(nn::Scope(source), dit_config),
        pixart(nn::Scope(target), pixart_config) {
    for (const auto& item : source.items()) at::Tensor(item.tensor).normal_(0, 0.2);
  }
  std::vector<PlannedTensor> run(const std::string& shared = "mean") {
    return reparameterize(source, dit_config, target, pixart_config,
                          {.shared_modulation = shared, .init = {.seed = 2, .embedder_std = {}}});
  }
  Proof prove(const models::Execution& execution = {}) {
    return prove_reparameterization(dit.with(execution), pixart.with(execution), target);
  }
  std::string refusal(const std::string& shared = "mean") {
    try {
      run(shared);
    } catch (const UserError& error) {
      return error.what();
    }
    ADD_FAILURE() << "not refused";
    return {};
  }
  bool target_untouched() const {
    for (const auto& item : target.items())
      if (item.tensor.count_nonzero().item<int64_t>() != 0) return false;
    return true;
  }
};

TEST(Reparameterize, PlansEveryTensorOfBothSidesOnce) {
  Pair pair;
  std::map<std::string, int> target_names, dropped;
  for (const auto& tensor : pair.run()) {
    EXPECT_FALSE(tensor.how.empty());
    (tensor.disposition == Disposition::kDropped ? dropped : target_names)[tensor.name]++;
    const auto& side = tensor.disposition == Disposition::kDropped ? pair.source : pair.target;
    EXPECT_EQ(tensor.bytes, side.get(tensor.name).numel() * 4) << tensor.name;
  }
  EXPECT_EQ(target_names.size(), pair.target.items().size());
  for (const auto& item : pair.target.items()) EXPECT_EQ(target_names[item.name], 1) << item.name;
  for (const auto& item : pair.source.items()) {
    const bool has_heir = pair.target.contains(item.name);
    EXPECT_EQ(dropped[item.name], has_heir ? 0 : 1) << item.name;
  }
}

TEST(Reparameterize, CopiesBitForBit) {
  Pair pair;
  int64_t copied = 0;
  for (const auto& tensor : pair.run()) {
    if (tensor.disposition != Disposition::kCopied) continue;
    EXPECT_TRUE(at::equal(pair.source.get(tensor.name), pair.target.get(tensor.name))) << tensor.name;
    ++copied;
  }
  EXPECT_EQ(copied, 2 + 4 + 2 + 2 * 8);  // patch, timestep MLP, output, and per block attention and MLP
}

TEST(Reparameterize, WhatIsNewStartsAsPublished) {
  Pair pair;
  pair.run();
  nn::StateDict fresh;
  const models::PixArt model(nn::Scope(fresh), pair.pixart_config);
  models::initialize(fresh, pair.pixart_config, {.seed = 2, .embedder_std = {}});
  for (const auto& tensor : plan_reparameterization(pair.source, pair.target)) {
    if (tensor.disposition == Disposition::kNewInit) {
      EXPECT_TRUE(at::equal(pair.target.get(tensor.name), fresh.get(tensor.name))) << tensor.name;
    }
  }
}

// Both models agree at t = 500, whatever the shared modulation, and only there. float64, so rounding alone
// differs.
TEST(Reparameterize, IsExactAtFiveHundredForEveryChoice) {
  models::PixArtConfig scaled = target_config();
  scaled.input_size = 16;
  scaled.position_scale = 2;
  for (const auto& config : {target_config(), scaled}) {
    for (const char* shared : {"mean", "block:0", "block:1"}) {
      Pair pair(config, kDit, at::kDouble);
      pair.run(shared);
      EXPECT_LT(pair.prove().difference, 1e-10) << shared;
    }
  }
}

TEST(Reparameterize, TheProofNoticesASingleWrongTable) {
  Pair pair;
  pair.run();
  EXPECT_LT(pair.prove().difference, 1e-4);
  pair.target.get("blocks.1.scale_shift_table")[4].add_(0.1);
  EXPECT_GT(pair.prove().difference, 1e-3);
}

std::string problem_of(const Proof& proof) {
  try {
    require_proof(proof, "a.pth");
  } catch (const UserError& error) {
    return error.what();
  }
  return {};
}

// A stage in bfloat16 hands over models that are run in it; what they would compute differs far more.
TEST(Reparameterize, TheProofIsInFloat32WhateverTheModelsAreRunIn) {
  Pair pair;
  pair.run();
  const Proof alone = pair.prove(), run_narrow = pair.prove({.dtype = at::kBFloat16, .recompute_every = 1});
  EXPECT_EQ(run_narrow.difference, alone.difference);
  EXPECT_EQ(run_narrow.largest, alone.largest);
  EXPECT_GT(alone.largest, 0.1);
  EXPECT_TRUE(alone.holds());
  at::globalContext().setFloat32MatmulPrecision("medium");
  EXPECT_EQ(pair.prove().difference, alone.difference);
  EXPECT_EQ(at::globalContext().float32MatmulPrecision(), at::Float32MatmulPrecision::MEDIUM);
  at::globalContext().setFloat32MatmulPrecision("highest");
}

TEST(Reparameterize, TheBoundIsAShareOfTheOutputs) {
  for (const double size : {1e-6, 1.0, 1e6}) {
    Pair pair;
    for (const char* part : {"weight", "bias"})
      pair.source.get(std::string("final_layer.linear.") + part).mul_(size);
    pair.run();
    EXPECT_EQ(problem_of(pair.prove()), "") << size;
    pair.target.get("blocks.1.scale_shift_table")[4].mul_(1.1);
    EXPECT_THAT(problem_of(pair.prove()), HasSubstr("a.pth: the outputs of the DiT and of the new model"))
        << size;
  }
}

TEST(Reparameterize, AnUntrainedDitWhoseOutputIsZeroHolds) {
  Pair pair;
  models::initialize(pair.source, pair.dit_config, {.seed = 1, .embedder_std = {}});
  pair.run();
  EXPECT_EQ(pair.prove().largest, 0);
  EXPECT_EQ(problem_of(pair.prove()), "");
}

// Rounding adds up over blocks: as many as the published models have pass, and bfloat16 would not.
TEST(Reparameterize, TheBoundTellsRoundingOf28BlocksFromBfloat16) {
  models::DitConfig deep = kDit;
  models::PixArtConfig target = target_config();
  deep.depth = target.depth = 28;
  Pair pair(target, deep);
  pair.run();
  const Proof proof = pair.prove();
  EXPECT_LT(proof.share(), kLargestProofShare / 10) << describe(proof);
  for (const auto* state : {&pair.source, &pair.target})
    for (const auto& item : state->items()) at::Tensor(item.tensor).copy_(item.tensor.to(at::kBFloat16));
  EXPECT_FALSE(pair.prove().holds()) << describe(pair.prove());
}

TEST(Reparameterize, NumbersThatAreNotFiniteAreNamed) {
  for (const double bad : {std::nan(""), HUGE_VAL}) {
    Pair pair;
    pair.source.get("blocks.1.mlp.fc2.weight")[3][5].fill_(bad);
    EXPECT_THAT(pair.refusal(), HasSubstr("the DiT cannot be re-parameterised: blocks.1.mlp.fc2.weight "
                                          "has values that are not finite (NaN or infinite)"));
    EXPECT_TRUE(pair.target_untouched());
  }
  Pair pair;  // finite, and too large to compute with
  pair.source.get("final_layer.linear.weight").fill_(3e38);
  pair.run();
  EXPECT_THAT(problem_of(pair.prove()), HasSubstr("a.pth: outputs at t = 500 are not finite"));
}

TEST(Reparameterize, ChoosesTheSharedModulation) {
  const std::string weight = "adaLN_modulation.1.weight";
  Pair pair;
  pair.run("block:1");
  EXPECT_TRUE(at::equal(pair.target.get("t_block.1.weight"), pair.source.get("blocks.1." + weight)));
  pair.run("mean");
  const at::Tensor mean = (pair.source.get("blocks.0." + weight).to(at::kDouble) +
                           pair.source.get("blocks.1." + weight).to(at::kDouble)) /
                          2;
  EXPECT_TRUE(at::equal(pair.target.get("t_block.1.weight"), mean.to(at::kFloat)));
}

TEST(Reparameterize, AnUnknownSharedModulationIsRefusedBeforeAnythingIsWritten) {
  for (const char* shared : {"", "median", "block:", "block:2", "block:-1", "block:x"}) {
    Pair pair;
    EXPECT_THAT(pair.refusal(shared), HasSubstr("block:<i> with i from 0 to 1")) << shared;
    EXPECT_TRUE(pair.target_untouched());
  }
}

TEST(Reparameterize, AnotherDepthIsRefused) {
  for (const int64_t depth : {1, 3}) {
    models::DitConfig source = kDit;
    source.depth = depth;
    Pair pair(target_config(), source);
    EXPECT_THAT(pair.refusal(),
                HasSubstr(depth == 3 ? "the DiT's tensor blocks.2.attn.qkv.weight is not used in the target"
                                     : "the DiT has no tensor blocks.1.attn.qkv.weight"));
    EXPECT_TRUE(pair.target_untouched());
  }
}

TEST(Reparameterize, AnotherWidthPatchOrOutputIsRefusedTensorByTensor) {
  models::DitConfig wide = kDit, patch = kDit, plain = kDit, ratio = kDit;
  wide.hidden_size = 32;
  patch.patch_size = 4;
  plain.learn_sigma = false;
  ratio.mlp_ratio = 2;
  EXPECT_THAT(Pair(target_config(), wide).refusal(),
              ::testing::AllOf(HasSubstr("blocks.0.attn.qkv.weight"), HasSubstr("t_embedder.mlp.2.bias")));
  EXPECT_THAT(Pair(target_config(), patch).refusal(), HasSubstr("x_embedder.proj.weight"));
  EXPECT_THAT(Pair(target_config(), plain).refusal(), HasSubstr("final_layer.linear.weight"));
  EXPECT_THAT(Pair(target_config(), ratio).refusal(), HasSubstr("blocks.1.mlp.fc2.weight"));
}

TEST(Reparameterize, OtherHeadsAreRefusedAlthoughAllShapesAgree) {
  models::DitConfig heads = kDit;
  heads.num_heads = 3;
  Pair pair(target_config(), heads);
  EXPECT_THAT(pair.refusal(), HasSubstr("set num_heads to 3"));
  EXPECT_TRUE(pair.target_untouched());
}

TEST(Reparameterize, AnUnknownTensorOnEitherSideIsRefused) {
  Pair source, target;
  source.source.add("blocks.0.attn2.weight", {2});
  EXPECT_THAT(source.refusal(),
              HasSubstr("the DiT's tensor blocks.0.attn2.weight is not used in the target"));
  target.target.add("pooled_text.weight", {2});
  EXPECT_THAT(target.refusal(), HasSubstr("there is no rule for the target's tensor pooled_text.weight"));
}

TEST(Reparameterize, APixArtIsNoDit) {
  Pair pair;
  nn::StateDict copy;
  const models::PixArt model(nn::Scope(copy), pair.pixart_config);
  try {
    plan_reparameterization(copy, pair.target);
    ADD_FAILURE() << "not refused";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(),
                ::testing::AllOf(HasSubstr("the DiT has no tensor blocks.0.adaLN_modulation.1.weight"),
                                 HasSubstr("blocks.0.cross_attn.q_linear.weight is not used in the target")));
  }
}

TEST(Reparameterize, MicroConditionsAreNew) {
  models::PixArtConfig multi_scale = target_config();
  multi_scale.multi_scale = multi_scale.micro_conditions = true;
  Pair pair(multi_scale);
  std::map<std::string, Disposition> plan;
  for (const auto& tensor : pair.run()) plan.emplace(tensor.name, tensor.disposition);
  EXPECT_EQ(plan.at("csize_embedder.mlp.0.weight"), Disposition::kNewInit);
  EXPECT_EQ(plan.at("ar_embedder.mlp.2.bias"), Disposition::kNewInit);
  // The proof silences them for the while, and only for the while.
  const at::Tensor before = pair.target.get("csize_embedder.mlp.2.weight").clone();
  EXPECT_LT(pair.prove().difference, 1e-4);
  EXPECT_TRUE(at::equal(pair.target.get("csize_embedder.mlp.2.weight"), before));
  EXPECT_GT(before.abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace pixart::convert
