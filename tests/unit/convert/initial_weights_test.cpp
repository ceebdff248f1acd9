// Weights of PixArt-alpha as the start of PixArt-Sigma.
#include "pixart/convert/initial_weights.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model_files.h"
#include "pixart/base/error.h"
#include "pixart/nn/lora.h"

namespace pixart::convert {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

models::PixArtConfig alpha() {
  return {{.input_size = 4, .hidden_size = 12, .depth = 2, .num_heads = 2},
          {.caption_channels = 5, .max_tokens = 4, .multi_scale = true, .micro_conditions = true}};
}

models::PixArtConfig sigma() {
  models::PixArtConfig config = alpha();
  config.input_size = 8, config.max_tokens = 7, config.micro_conditions = false;
  return config;
}

models::PixArtConfig compressed(std::vector<int64_t> layers = {1}) {
  models::PixArtConfig config = sigma();
  config.kv_compression = {.sampling = models::KvSampling::kConv, .factor = 2, .layers = std::move(layers)};
  return config;
}

struct Built {
  nn::StateDict state;
  models::Transformer model;
  explicit Built(const models::PixArtConfig& config, uint64_t seed = 1) : model(nn::Scope(state), config) {
    models::initialize(state, model.config(), {.seed = seed, .embedder_std = {}});
  }
};

OfficialWeights weights_of(const Built& built, const std::vector<std::string>& left_out = {}) {
  std::vector<formats::NamedTensor> tensors;
  for (const auto& item : built.state.items())
    if (!contains(left_out, item.name)) tensors.push_back({item.name, item.tensor});
  return {.weights = formats::weights_of(tensors, {}),
          .identity = {.layout = Layout::kPixArt, .architecture = architecture_of(built.model.config())}};
}

std::vector<std::string> copied(Built& to, const OfficialWeights& from) {
  return copy_into(to.state, to.model.config(), from, "the source");
}

std::string refusal_of(Built& to, const OfficialWeights& from) {
  return refusal([&] { copied(to, from); });
}

TEST(CopyInto, AlphaBecomesACompressedSigma) {
  const Built source(alpha(), 7), fresh(compressed());
  Built target(compressed());
  const auto notes = copied(target, weights_of(source));
  EXPECT_THAT(notes,
              ElementsAre(HasSubstr("kv_compression: conv, factor 2, blocks 1 in place of none"),
                          HasSubstr("y_embedder.y_embedding: rows 0 to 3 are copied, rows 4 to 6 are new"),
                          HasSubstr("8 tensors of micro-conditions"),
                          AllOf(HasSubstr("4 tensors are new"), HasSubstr("blocks.1.attn.sr.weight"))));
  for (const auto& item : target.state.items()) {
    const bool is_own = !source.state.contains(item.name) || item.name == "pos_embed";
    if (item.name == "y_embedder.y_embedding") continue;
    const auto& expected = is_own ? fresh.state.get(item.name) : source.state.get(item.name);
    EXPECT_TRUE(at::equal(item.tensor, expected)) << item.name;
  }
  const at::Tensor null = target.state.get("y_embedder.y_embedding");
  EXPECT_TRUE(at::equal(null.narrow(0, 0, 4), source.state.get("y_embedder.y_embedding")));
  EXPECT_TRUE(at::equal(null.narrow(0, 4, 3), fresh.state.get("y_embedder.y_embedding").narrow(0, 4, 3)));
}

TEST(CopyInto, ACompressedSigmaGoesOn) {
  const Built source(compressed(), 7);
  Built same(compressed()), more(compressed({0, 1}));
  EXPECT_THAT(copied(same, weights_of(source)), IsEmpty());
  EXPECT_TRUE(
      at::equal(same.state.get("blocks.1.attn.qkv.weight"), source.state.get("blocks.1.attn.qkv.weight")));
  const auto notes = copied(more, weights_of(source));
  EXPECT_THAT(notes, Contains(AllOf(HasSubstr("4 tensors are new"), HasSubstr("blocks.0.attn.sr.weight"),
                                    Not(HasSubstr("blocks.1.")))));
}

TEST(CopyInto, NothingElseIsLeftOutOrMadeUp) {
  Built plain(sigma()), one(compressed()), back(alpha());
  EXPECT_THAT(refusal_of(plain, weights_of(Built(compressed()))),
              HasSubstr("unexpected: blocks.1.attn.sr.weight"));
  EXPECT_THAT(refusal_of(one, weights_of(Built(compressed()), {"blocks.1.attn.norm.bias"})),
              HasSubstr("missing: blocks.1.attn.norm.bias"));
  EXPECT_THAT(refusal_of(one, weights_of(Built(sigma()), {"blocks.1.attn.qkv.bias"})),
              HasSubstr("missing: blocks.1.attn.qkv.bias"));
  auto other = compressed();
  other.kv_compression.factor = 4;
  EXPECT_THAT(refusal_of(one, weights_of(Built(other))), HasSubstr("shape: blocks.1.attn.sr.weight"));
  EXPECT_THAT(refusal_of(back, weights_of(Built(sigma()))), HasSubstr("shape: y_embedder.y_embedding"));
  auto fixed = alpha();  // a PixArt-alpha of one size does not lose the conditions of an MS
  fixed.multi_scale = fixed.micro_conditions = false;
  Built fixed_alpha(fixed);
  EXPECT_THAT(refusal_of(fixed_alpha, weights_of(Built(alpha()))), HasSubstr("unexpected: ar_embedder"));
}

models::PixArtConfig controlled(int64_t blocks = 2) {
  models::PixArtConfig config = sigma();
  config.depth = 3, config.control_blocks = blocks;
  return config;
}

TEST(CopyInto, AControlNetBeginsAsTheBlocksThatItCopies) {
  models::PixArtConfig plain = controlled(0);
  const Built source(plain, 7);
  Built target(controlled());
  EXPECT_THAT(copied(target, weights_of(source)),
              ElementsAre(HasSubstr("tensors of the ControlNet begin as copies of the blocks, or as zero")));
  size_t linears = 0;
  for (const auto& item : target.state.items()) {
    if (!models::is_control_name(item.name)) continue;
    const std::string block = models::copied_from(item.name);
    linears += block.empty();
    EXPECT_TRUE(at::equal(item.tensor, block.empty() ? at::zeros_like(item.tensor) : source.state.get(block)))
        << item.name;
  }
  EXPECT_EQ(linears, 2u * 3) << "weight and bias before the first copy, and after each";
}

TEST(CopyInto, AControlNetGoesOnAndIsLeftOut) {
  const Built source(controlled(), 7);
  at::Tensor after = source.state.get("controlnet.1.after_proj.weight");
  {
    at::NoGradGuard no_grad;
    after.fill_(0.25);
  }
  Built same(controlled()), plain(controlled(0));
  EXPECT_THAT(copied(same, weights_of(source)), IsEmpty());
  EXPECT_TRUE(at::equal(same.state.get("controlnet.1.after_proj.weight"), after));
  EXPECT_THAT(copied(plain, weights_of(source)),
              ElementsAre(HasSubstr("tensors of a ControlNet are left out")));
  EXPECT_THAT(refusal_of(same, weights_of(source, {"controlnet.1.copied_block.attn.qkv.bias"})),
              HasSubstr("missing: controlnet.1.copied_block.attn.qkv.bias"));
}

// Adapters train no new weights, so the keys must be compressed already.
TEST(CopyInto, AdaptersNeedCompressedWeights) {
  Built target(compressed());
  Problems problems;
  nn::add_lora(target.state, {.rank = 2, .alpha = {}, .targets = {}}, {"blocks.*.attn.*"}, "the stage",
               problems);
  ASSERT_TRUE(problems.empty());
  EXPECT_THAT(refusal_of(target, weights_of(Built(sigma()))), HasSubstr("missing: blocks.1.attn.sr.weight"));
  EXPECT_THAT(copied(target, weights_of(Built(compressed()))), IsEmpty());
}

}  // namespace
}  // namespace pixart::convert
