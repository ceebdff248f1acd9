#include "pixart/nn/layers.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <set>

#include "pixart/base/error.h"

namespace pixart::nn {
namespace {

// float64 results of the same formula in another order.
constexpr double kRounding = 1e-12;

bool near(const at::Tensor& a, const at::Tensor& b, double distance = kRounding) {
  return a.sizes() == b.sizes() && (a - b).abs().max().item<double>() <= distance;
}

StateDict& random_weights(StateDict& state) {
  for (auto& tensor : state.trainable()) tensor.normal_(0, 0.3).set_requires_grad(true);
  return state;
}

at::Tensor softmax_attention(const at::Tensor& q, const at::Tensor& k,
                             const at::Tensor& v) {  // [N, d], [T, d]
  return at::softmax(at::mm(q, k.t()) / std::sqrt(double(q.size(1))), 1).mm(v);
}

TEST(ModulatedNorm, IsLayerNormScaledAndShifted) {
  const at::Tensor x = at::randn({2, 3, 8}, at::kDouble), shift = at::randn({2, 1, 8}, at::kDouble);
  const at::Tensor scale = at::randn({2, 1, 8}, at::kDouble);
  const at::Tensor centred = x - x.mean(-1, true);
  const at::Tensor normal = centred / (centred.square().mean(-1, true) + 1e-6).sqrt();
  EXPECT_TRUE(near(modulated_norm(x, shift, scale), normal * (1 + scale) + shift));
}

TEST(ModulatedNorm, NarrowTypesAreRoundedOnceAtTheEnd) {
  const at::Tensor x = at::randn({2, 3, 64}).to(at::kBFloat16), gate = at::randn({2, 1, 64});
  const at::Tensor shift = at::randn({2, 1, 64}), scale = at::randn({2, 1, 64});
  const at::Tensor wide = modulated_norm(x.to(at::kFloat), shift, scale);
  EXPECT_TRUE(at::equal(modulated_norm(x, shift, scale), wide.to(at::kBFloat16)));
  const at::Tensor sum = gated_residual(x.to(at::kFloat), gate, x.to(at::kFloat));
  EXPECT_TRUE(at::equal(gated_residual(x, gate, x), sum.to(at::kBFloat16)));
}

TEST(SelfAttention, RowsAreQueryKeyValueEachHeadMajor) {
  StateDict state({.dtype = at::kDouble});
  const SelfAttention layer(Scope(state), 6, 2);
  random_weights(state);
  const at::Tensor x = at::randn({1, 5, 6}, at::kDouble);
  const at::Tensor qkv = at::linear(x[0], layer.qkv.weight, layer.qkv.bias);
  std::vector<at::Tensor> heads;
  for (int64_t h = 0; h < 2; ++h) {
    const auto part = [&](int64_t which) { return qkv.narrow(1, 6 * which + 3 * h, 3); };
    heads.push_back(softmax_attention(part(0), part(1), part(2)));
  }
  EXPECT_TRUE(near(layer(x)[0], at::linear(at::cat(heads, 1), layer.proj.weight, layer.proj.bias)));
}

TEST(AffineNorm, IsLayerNormWithWeightAndBias) {
  StateDict state({.dtype = at::kDouble});
  const AffineNorm norm(Scope(state), 8);
  random_weights(state);
  const at::Tensor x = at::randn({2, 3, 8}, at::kDouble), centred = x - x.mean(-1, true);
  const at::Tensor normal = centred / (centred.square().mean(-1, true) + 1e-5).sqrt();
  EXPECT_TRUE(near(norm(x), normal * norm.weight + norm.bias));
}

TEST(SelfAttention, QkNormIsOverAllHeadsTogether) {
  StateDict state({.dtype = at::kDouble}), plain_state({.dtype = at::kDouble});
  const SelfAttention layer(Scope(state), 6, 2, true), plain(Scope(plain_state), 6, 2);
  EXPECT_EQ(state.items().size(), plain_state.items().size() + 4);
  random_weights(state);
  const at::Tensor x = at::randn({1, 5, 6}, at::kDouble);
  const auto qkv = at::linear(x[0], layer.qkv.weight, layer.qkv.bias).chunk(3, 1);
  const at::Tensor q = layer.q_norm(qkv[0]), k = layer.k_norm(qkv[1]);
  std::vector<at::Tensor> heads;
  for (int64_t h = 0; h < 2; ++h)
    heads.push_back(
        softmax_attention(q.narrow(1, 3 * h, 3), k.narrow(1, 3 * h, 3), qkv[2].narrow(1, 3 * h, 3)));
  EXPECT_TRUE(near(layer(x)[0], at::linear(at::cat(heads, 1), layer.proj.weight, layer.proj.bias)));
  // The scale of q does not matter then.
  at::NoGradGuard no_grad;
  const at::Tensor before = layer(x);
  at::Tensor(layer.qkv.weight).narrow(0, 0, 6).mul_(1000);
  at::Tensor(layer.qkv.bias).narrow(0, 0, 6).mul_(1000);
  EXPECT_TRUE(near(layer(x), before, 1e-3));  // eps of 1e-5
}

TEST(PackText, GathersKeptTokensAlsoBehindHoles) {
  const at::Tensor text = at::arange(24, at::kDouble).view({2, 4, 3});
  const at::Tensor mask = at::tensor({1, 0, 1, 0, 0, 1, 0, 0}).view({2, 4});
  const PackedText packed = pack_text(text, mask);
  EXPECT_TRUE(at::equal(packed.tokens, at::stack({text[0][0], text[0][2], text[1][1]})));
  EXPECT_EQ(packed.longest, 2);
  EXPECT_TRUE(at::equal(packed.mask.view({2, 2}), at::tensor({1, 1, 1, 0}).view({2, 2}).to(at::kBool)));
}

TEST(PackText, NoPaddingNeedsNoMask) {
  const at::Tensor text = at::randn({2, 3, 4});
  EXPECT_FALSE(pack_text(text, {}).mask.defined());
  EXPECT_FALSE(pack_text(text, at::ones({2, 3}, at::kLong)).mask.defined());
  const PackedText shorter = pack_text(text, at::tensor({1, 1, 0}).repeat({2, 1}));
  EXPECT_EQ(shorter.longest, 2);
  EXPECT_FALSE(shorter.mask.defined());
}

TEST(PackText, AMaskOfHalfTheBatchIsRepeated) {
  const at::Tensor text = at::randn({4, 3, 2}), mask = at::tensor({1, 0, 0, 1, 1, 1}).view({2, 3});
  EXPECT_TRUE(at::equal(pack_text(text, mask).tokens, pack_text(text, mask.repeat({2, 1})).tokens));
}

TEST(PackText, ACaptionWithoutATokenIsOurBug) {
  EXPECT_THROW(pack_text(at::randn({2, 2, 2}), at::tensor({1, 1, 0, 0}).view({2, 2})), InternalError);
  EXPECT_THROW(pack_text(at::randn({3, 2, 2}), at::ones({2, 2}, at::kLong)), InternalError);
}

// Kernels and memory are cached by shape: few lengths, whatever captions come.
TEST(PaddedLength, IsOneOfSixForCaptionsOfAllLengths) {
  for (int64_t most = 1; most <= 512; ++most) {
    std::set<int64_t> lengths;
    for (int64_t longest = 1; longest <= most; ++longest) {
      const int64_t padded = padded_length(longest, most);
      EXPECT_GE(padded, longest);
      EXPECT_LE(padded, most);
      EXPECT_TRUE(padded == most || padded % 8 == 0) << padded << " of " << most;
      lengths.insert(padded);
    }
    EXPECT_LE(lengths.size(), 6u) << most;
  }
  EXPECT_EQ(padded_length(1, 120), 24);
  EXPECT_EQ(padded_length(25, 120), 48);
  EXPECT_EQ(padded_length(97, 120), 120);
  EXPECT_EQ(padded_length(300, 300), 300);
}

TEST(PaddedTotal, IsOneOfSevenForCaptionsOfAllLengths) {
  for (const int64_t batch : {1, 2, 3, 32, 64})
    for (const int64_t most : {1, 7, 120, 300}) {
      std::set<int64_t> totals;
      for (int64_t total = batch; total <= batch * most; ++total) {
        const int64_t padded = padded_total(total, batch, most);
        EXPECT_GE(padded, total);
        EXPECT_EQ(padded % 8, 0);
        totals.insert(padded);
      }
      EXPECT_LE(totals.size(), 7u) << batch << " texts of " << most;
    }
  EXPECT_EQ(padded_total(32 * 82, 32, 120), 2760);
  EXPECT_EQ(padded_total(1, 1, 120), 24);
}

// What a variable-length kernel of a GPU reads: each text, then texts of padding, of which no query asks for
// one.
TEST(TextLayout, BoundsOfAGpuAreThoseOfTheTexts) {
  const int64_t batch = 3, most = 40;
  std::set<int64_t> widths;
  for (const auto& lengths :
       std::vector<std::vector<int64_t>>{{1, 1, 1}, {40, 40, 40}, {5, 40, 11}, {1, 2, 40}}) {
    const at::Tensor mask = at::arange(most).unsqueeze(0).lt(at::tensor(lengths).unsqueeze(1)).to(at::kLong);
    TextLayout layout = text_layout(mask, batch, at::kCUDA);
    EXPECT_EQ(layout.most, most);
    ASSERT_EQ(layout.bounds.scalar_type(), at::kInt);
    widths.insert(layout.bounds.size(1));
    set_queries(layout, 16);
    const auto keys = layout.bounds.accessor<int, 2>()[0];
    const auto queries = layout.queries.accessor<int, 1>();
    const int64_t texts = layout.bounds.size(1) - 1, total = lengths[0] + lengths[1] + lengths[2];
    for (int64_t i = 0; i < texts; ++i) {
      if (i < batch) {
        EXPECT_EQ(keys[i + 1] - keys[i], lengths[size_t(i)]);
      }
      EXPECT_LE(keys[i + 1] - keys[i], most);
      EXPECT_GE(keys[i + 1], keys[i]);
      EXPECT_EQ(queries[i + 1] - queries[i], i < batch ? 16 : 0);
    }
    EXPECT_EQ(keys[texts], padded_total(total, batch, most));
    EXPECT_EQ(layout.source.size(0), keys[texts]);
    EXPECT_TRUE(layout.source.narrow(0, total, keys[texts] - total).eq(0).all().item<bool>());
  }
  EXPECT_EQ(widths.size(), 1u) << "the number of texts is the same for all lengths";
  EXPECT_FALSE(text_layout(at::ones({3, 4}, at::kLong), 3, at::kCPU).bounds.defined());
}

// On a GPU captions are padded further, and give the same result.
TEST(TextLayout, PaddingOfAGpuChangesNoResult) {
  StateDict state({.dtype = at::kDouble});
  const CrossAttention layer(Scope(state), 6, 2);
  random_weights(state);
  const at::Tensor x = at::randn({2, 5, 6}, at::kDouble), text = at::randn({2, 60, 6}, at::kDouble);
  for (const auto& [first, second] : {std::pair{3, 9}, {16, 16}, {5, 5}, {1, 60}}) {
    at::Tensor mask = at::zeros({2, 60}, at::kLong);
    mask[0].narrow(0, 0, first).fill_(1);
    mask[1].narrow(0, 60 - second, second).fill_(1);
    const TextLayout on_cpu = text_layout(mask, 2, at::kCPU), on_gpu = text_layout(mask, 2, at::kCUDA);
    EXPECT_EQ(on_cpu.longest, second);
    EXPECT_EQ(on_gpu.longest, padded_length(second, 60));
    EXPECT_TRUE(on_gpu.mask.defined());
    EXPECT_TRUE(near(layer(x, pack_text_by(on_gpu, text)), layer(x, pack_text_by(on_cpu, text))));
  }
  const at::Tensor all = at::ones({2, 59}, at::kLong), shorter = text.narrow(1, 0, 59);
  const TextLayout whole = text_layout(all, 2, at::kCUDA);
  EXPECT_EQ(whole.longest, 59);
  EXPECT_FALSE(whole.mask.defined());
  EXPECT_GT(whole.source.size(0), 2 * 59) << "rows of padding";
  EXPECT_TRUE(near(layer(x, pack_text_by(whole, shorter)), layer(x, pack_text(shorter, all))));
}

// Each sample by itself with its own tokens only.
at::Tensor one_by_one(const CrossAttention& layer, const at::Tensor& x, const at::Tensor& text,
                      const at::Tensor& mask) {
  std::vector<at::Tensor> rows;
  const int64_t width = x.size(2), size = width / layer.num_heads;
  for (int64_t b = 0; b < x.size(0); ++b) {
    const at::Tensor kept = text[b].index_select(0, mask[b].nonzero().squeeze(1));
    const at::Tensor q = at::linear(x[b], layer.q_linear.weight, layer.q_linear.bias);
    const at::Tensor kv = at::linear(kept, layer.kv_linear.weight, layer.kv_linear.bias);
    std::vector<at::Tensor> heads;
    for (int64_t h = 0; h < layer.num_heads; ++h)
      heads.push_back(softmax_attention(q.narrow(1, h * size, size), kv.narrow(1, h * size, size),
                                        kv.narrow(1, width + h * size, size)));
    rows.push_back(at::linear(at::cat(heads, 1), layer.proj.weight, layer.proj.bias));
  }
  return at::stack(rows);
}

// Values and gradients, for lengths down to 1, none padded, and all alike.
TEST(CrossAttention, EqualsEachSampleByItself) {
  const std::vector<std::vector<int64_t>> masks = {{1, 1, 1, 1, 1, 0, 0, 0, 1, 1, 1, 0},
                                                   {1, 0, 1, 0, 1, 0, 0, 0, 0, 1, 1, 0},
                                                   {1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 0, 0},
                                                   {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}};
  for (const auto& entries : masks) {
    StateDict state({.dtype = at::kDouble});
    const CrossAttention layer(Scope(state), 6, 2);
    random_weights(state);
    const at::Tensor x = at::randn({3, 5, 6}, at::kDouble).set_requires_grad(true);
    const at::Tensor text = at::randn({3, 4, 6}, at::kDouble).set_requires_grad(true);
    const at::Tensor mask = at::tensor(entries).view({3, 4});
    const at::Tensor got = layer(x, pack_text(text, mask)), want = one_by_one(layer, x, text, mask);
    EXPECT_TRUE(near(got, want));
    const at::Tensor pull = at::randn({3, 5, 6}, at::kDouble);
    auto inputs = state.trainable();
    inputs.insert(inputs.end(), {x, text});
    const auto ours = torch::autograd::grad({(got * pull).sum()}, inputs);
    const auto theirs = torch::autograd::grad({(want * pull).sum()}, inputs);
    for (size_t i = 0; i < inputs.size(); ++i) EXPECT_TRUE(near(ours[i], theirs[i])) << i;
  }
}

TEST(TimestepEmbedder, CosineFirstFrequenciesOver128) {
  StateDict state;
  const TimestepEmbedder layer(Scope(state), 256);
  layer.mlp0.weight.copy_(at::eye(256));
  layer.mlp2.weight.copy_(at::eye(256));
  const at::Tensor got = layer(at::full({1}, 3.5), at::kFloat);
  for (const int64_t k : {0, 1, 64, 127}) {
    const double angle = 3.5 * std::exp(-std::log(10000.0) * double(k) / 128);
    const auto silu = [](double v) { return v / (1 + std::exp(-v)); };
    EXPECT_NEAR(got[0][k].item<double>(), silu(std::cos(angle)), 1e-6);
    EXPECT_NEAR(got[0][128 + k].item<double>(), silu(std::sin(angle)), 1e-6);
  }
}

TEST(TimestepEmbedder, NarrowWeightsDoNotRoundTheTimestep) {
  StateDict state({.dtype = at::kBFloat16});
  const TimestepEmbedder layer(Scope(state), 8);
  layer.mlp0.weight.select(0, 0).fill_(1);
  layer.mlp2.weight.fill_(1);
  // Both timesteps are 900 in bfloat16.
  EXPECT_FALSE(
      at::equal(layer(at::full({1}, 901.0), at::kBFloat16), layer(at::full({1}, 901.5), at::kBFloat16)));
}

TEST(Linear, ComputesInTheTypeOfItsInput) {
  StateDict state;
  const Linear layer(Scope(state), 8, 4);
  random_weights(state);
  for (auto tensor : state.trainable()) tensor.set_requires_grad(true);
  const at::Tensor x = at::randn({3, 8}).to(at::kBFloat16), got = layer(x);
  EXPECT_EQ(got.scalar_type(), at::kBFloat16);
  EXPECT_TRUE(at::equal(got, at::linear(x, layer.weight.to(at::kBFloat16), layer.bias.to(at::kBFloat16))));
  torch::autograd::backward({got.sum()}, {});
  EXPECT_EQ(layer.weight.grad().scalar_type(), at::kFloat);
  EXPECT_EQ(layer.bias.grad().scalar_type(), at::kFloat);
}

TEST(PatchEmbed, IsTheStridedConvolution) {
  StateDict state({.dtype = at::kDouble});
  const PatchEmbed layer(Scope(state), 3, 2, 5);
  random_weights(state);
  const at::Tensor x = at::randn({2, 3, 4, 6}, at::kDouble);
  EXPECT_TRUE(near(layer(x), at::conv2d(x, layer.weight, layer.bias, 2).flatten(2).transpose(1, 2)));
  EXPECT_THROW(layer(at::zeros({1, 3, 5, 4}, at::kDouble)), InternalError);
}

TEST(Unpatchify, TheChannelIsTheFastestIndex) {
  const at::Tensor tokens = at::arange(2 * 3 * 8).view({1, 6, 8});
  const at::Tensor image = unpatchify(tokens, 2, 3, 2);
  ASSERT_EQ(image.sizes(), at::IntArrayRef({1, 2, 4, 6}));
  for (int64_t channel = 0; channel < 2; ++channel)
    for (int64_t y = 0; y < 4; ++y)
      for (int64_t x = 0; x < 6; ++x)
        EXPECT_EQ(image[0][channel][y][x].item<int64_t>(),
                  tokens[0][(y / 2) * 3 + x / 2][((y % 2) * 2 + x % 2) * 2 + channel].item<int64_t>());
}

}  // namespace
}  // namespace pixart::nn
