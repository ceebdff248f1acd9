// The fused forms against LibTorch's operations in double precision, forward and gradient.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>

#include "fused_ops.h"
#include "pixart/base/own_kernels.h"
#include "pixart/nn/conv.h"
#include "pixart/nn/layers.h"

namespace pixart::nn {
namespace {

using Layer = std::function<at::Tensor(const std::vector<at::Tensor>&)>;

// The output, then the gradient of each input, for a given gradient of the output.
std::vector<at::Tensor> run(const Layer& layer, const std::vector<at::Tensor>& inputs, at::ScalarType dtype) {
  std::vector<at::Tensor> leaves;
  for (const auto& input : inputs) leaves.push_back(input.to(dtype, false, true).set_requires_grad(true));
  const at::Tensor out = layer(leaves);
  const at::Tensor weight =
      at::arange(out.numel(), at::kDouble).remainder(13).sub(6).view(out.sizes()).to(dtype);
  torch::autograd::backward({out}, {weight});
  std::vector<at::Tensor> results = {out.detach()};
  for (const auto& leaf : leaves) results.push_back(leaf.grad());
  return results;
}

// float32 rounds to 6e-8; a sum over a row or over all rows of a sample adds some of these up.
constexpr double kTolerance = 2e-6;

void expect_same(const Layer& layer, const std::vector<at::Tensor>& inputs, double tolerance = kTolerance) {
  const auto exact = run(layer, inputs, at::kDouble), fused = run(layer, inputs, at::kFloat);
  ASSERT_EQ(fused.size(), inputs.size() + 1);
  for (size_t i = 0; i < fused.size(); ++i) {
    ASSERT_EQ(fused[i].sizes(), exact[i].sizes());
    const double scale = exact[i].abs().max().item<double>();
    EXPECT_LE((fused[i].to(at::kDouble) - exact[i]).abs().max().item<double>(), tolerance * scale)
        << "result " << i;
  }
}

at::Tensor normal(at::IntArrayRef shape) { return at::randn(shape, at::kDouble); }

Layer modulated() {
  return [](const auto& in) { return modulated_norm(in[0], in[1], in[2]); };
}
Layer gated() {
  return [](const auto& in) { return gated_residual(in[0], in[1], in[2]); };
}
// Both results, one under the other.
at::Tensor both(const Residual& residual) { return at::cat({residual.x, residual.input}, 1); }
Layer normed_and_kept() {
  return [](const auto& in) { return both(normed(in[0], {in[1], in[2]}, in[0].scalar_type())); };
}
Layer added_and_normed() {
  return [](const auto& in) {
    return both(add_normed(in[0], in[3], in[4], {in[1], in[2]}, in[0].scalar_type()));
  };
}
Layer added_without_gate_and_normed() {
  return [](const auto& in) {
    return both(add_normed(in[0], {}, in[3], {in[1], in[2]}, in[0].scalar_type()));
  };
}
// The same by one operation after the other.
Layer added_then_normed() {
  return [](const auto& in) {
    const at::Tensor sum = gated_residual(in[0], in[3], in[4]);
    return at::cat({sum, modulated_norm(sum, in[1], in[2])}, 1);
  };
}
Layer mlp() {
  return [](const auto& in) {
    StateDict state({.dtype = in[0].scalar_type()});
    Mlp layer(Scope(state), in[0].size(-1), in[1].size(0), in[3].size(0));
    layer.fc1.weight = in[1];
    layer.fc1.bias = in[2];
    layer.fc2.weight = in[3];
    return layer(in[0]);
  };
}

// Sizes that fill no vector, and samples of more rows than one task takes.
struct Shape {
  int64_t batch, tokens, width;
};
class FusedOps : public ::testing::TestWithParam<Shape> {
 protected:
  FusedOps() { at::manual_seed(3); }
};

TEST_P(FusedOps, ModulatedNormIsThatOfDoublePrecision) {
  const auto [b, n, d] = GetParam();
  expect_same(modulated(), {3 * normal({b, n, d}) + 1, normal({b, 1, d}), normal({b, 1, d})});
}

TEST_P(FusedOps, GatedResidualIsThatOfDoublePrecision) {
  const auto [b, n, d] = GetParam();
  expect_same(gated(), {normal({b, n, d}), normal({b, 1, d}), normal({b, n, d})});
}

TEST_P(FusedOps, SumsAndNormsInOneAreThoseOfDoublePrecision) {
  const auto [b, n, d] = GetParam();
  const at::Tensor x = 3 * normal({b, n, d}) + 1, shift = normal({b, 1, d}), scale = normal({b, 1, d}),
                   gate = normal({b, 1, d}), branch = normal({b, n, d});
  expect_same(normed_and_kept(), {x, shift, scale});
  expect_same(added_and_normed(), {x, shift, scale, gate, branch});
  expect_same(added_without_gate_and_normed(), {x, shift, scale, branch});
}

TEST_P(FusedOps, SumsAndNormsInOneHaveTheBitsOfOneAfterTheOther) {
  const auto [b, n, d] = GetParam();
  const std::vector<at::Tensor> inputs = {3 * normal({b, n, d}) + 1, normal({b, 1, d}), normal({b, 1, d}),
                                          normal({b, 1, d}), normal({b, n, d})};
  const auto one = run(added_and_normed(), inputs, at::kFloat),
             chain = run(added_then_normed(), inputs, at::kFloat);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], chain[i])) << "result " << i;
}

TEST_P(FusedOps, MlpIsThatOfDoublePrecision) {
  const auto [b, n, d] = GetParam();
  expect_same(mlp(), {3 * normal({b, n, d}), normal({2 * d, d}) / std::sqrt(double(d)), normal({2 * d}),
                      normal({3, 2 * d}) / std::sqrt(double(d))});
}

// A softmax multiplies the rounding of its scores, of which some are 10 here.
constexpr double kAttentionTolerance = 1e-5;

SelfAttention self_attention_of(const std::vector<at::Tensor>& in, int64_t heads) {
  StateDict state({.dtype = in[0].scalar_type()});
  SelfAttention layer(Scope(state), in[0].size(-1), heads);
  layer.qkv.weight = in[1];
  layer.qkv.bias = in[2];
  layer.proj.weight = in[3];
  return layer;
}

CrossAttention cross_attention_of(const std::vector<at::Tensor>& in, int64_t heads) {
  StateDict state({.dtype = in[0].scalar_type()});
  CrossAttention layer(Scope(state), in[0].size(-1), heads);
  layer.q_linear.weight = in[1];
  layer.kv_linear.weight = in[2];
  layer.proj.weight = in[3];
  return layer;
}

at::Tensor weight(int64_t out, int64_t in) { return normal({out, in}) / std::sqrt(double(in)); }

TEST_P(FusedOps, SelfAttentionIsThatOfDoublePrecision) {
  const auto [b, n, d] = GetParam();
  expect_same([](const auto& in) { return self_attention_of(in, 4)(in[0]); },
              {normal({b, n, d}), 2 * weight(3 * d, d), normal({3 * d}), weight(d, d)}, kAttentionTolerance);
}

// Captions of one token, of all tokens, and of lengths between; some tokens are masked in the middle.
TEST_P(FusedOps, CrossAttentionIsThatOfDoublePrecision) {
  const auto [b, n, d] = GetParam();
  at::Tensor mask = at::randint(2, {b, 37}, at::kLong);
  mask.select(1, 5).fill_(1);
  mask[0].zero_()[20].fill_(1);
  if (b > 1) mask[1].fill_(1);
  for (const at::Tensor& kept : {mask, at::Tensor()})
    expect_same([&](const auto& in) { return cross_attention_of(in, 4)(in[0], pack_text(in[4], kept)); },
                {normal({b, n, d}), 2 * weight(d, d), weight(2 * d, d), weight(d, d), normal({b, 37, d})},
                kAttentionTolerance);
}

INSTANTIATE_TEST_SUITE_P(Shapes, FusedOps,
                         ::testing::Values(Shape{1, 1, 4}, Shape{2, 65, 36}, Shape{3, 200, 100},
                                           Shape{2, 128, 256}));

TEST(FusedOps, FrozenModulationsAndBranchesGetNoGradient) {
  at::manual_seed(6);
  const at::Tensor x = at::randn({2, 5, 16}).set_requires_grad(true), modulation = at::randn({2, 1, 16}),
                   branch = at::randn({2, 5, 16});
  const Residual result = add_normed(x, modulation, branch, {modulation, modulation}, at::kFloat);
  torch::autograd::backward({result.x.sum() + result.input.square().sum()});
  EXPECT_TRUE(x.grad().defined());
  EXPECT_FALSE(modulation.grad().defined() || branch.grad().defined());
  const Residual kept = normed(branch, {x.mean(1, true), modulation}, at::kFloat);
  EXPECT_TRUE(kept.input.requires_grad());
  EXPECT_FALSE(kept.x.requires_grad()) << "it is what it was";
}

TEST(FusedOps, PlainKernelsAreLibTorchs) {
  at::manual_seed(7);
  const std::vector<at::Tensor> inputs = {normal({2, 70, 24}), normal({2, 1, 24}), normal({2, 1, 24}),
                                          normal({2, 1, 24}), normal({2, 70, 24})};
  const auto fused = run(added_and_normed(), inputs, at::kFloat);
  EXPECT_TRUE(has_fused_form(at::ones({1})));
  use_own_kernels(false);
  EXPECT_FALSE(has_fused_form(at::ones({1})));
  const auto plain = run(added_and_normed(), inputs, at::kFloat);
  use_own_kernels(true);
  for (size_t i = 0; i < fused.size(); ++i) EXPECT_TRUE(at::allclose(fused[i], plain[i], 1e-5, 1e-5)) << i;
}

TEST(FusedOps, GeluOfLargeAndNotFiniteNumbers) {
  const auto gelu = [](double x) {
    StateDict state({.dtype = at::kFloat});
    Mlp layer(Scope(state), 1, 1, 1);
    for (auto& tensor : state.trainable()) tensor.zero_();
    layer.fc1.weight.fill_(1);
    layer.fc2.weight.fill_(1);
    return layer(at::full({1, 1, 1}, x, at::kFloat)).item<double>();
  };
  EXPECT_EQ(gelu(50), 50);
  EXPECT_EQ(gelu(1e30), 1e30F);
  EXPECT_NEAR(gelu(-50), 0, 1e-20);
  EXPECT_TRUE(std::isnan(gelu(NAN)));
  EXPECT_FALSE(std::isfinite(gelu(INFINITY)));
}

// Captions of a batch share the modulation of the model's six rows, a view whose samples lie apart.
TEST(FusedOps, TakeViewsOfTheModulationAndTransposedInputs) {
  at::manual_seed(4);
  const Layer views = [](const auto& in) {
    const auto parts = in[1].chunk(6, 1);
    return gated_residual(in[0].transpose(1, 2), parts[5],
                          modulated_norm(in[0].transpose(1, 2), parts[0], parts[1]));
  };
  expect_same(views, {normal({2, 24, 70}), normal({2, 6, 24})});
}

TEST(FusedOps, NumbersDependNeitherOnThreadsNorOnTheOtherSamples) {
  at::manual_seed(5);
  const std::vector<at::Tensor> inputs = {normal({4, 150, 64}), normal({4, 1, 64}), normal({4, 1, 64})};
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = run(modulated(), inputs, at::kFloat);
  at::set_num_threads(2);
  const auto together = run(modulated(), inputs, at::kFloat);
  at::set_num_threads(before);
  for (size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(at::equal(alone[i], together[i])) << i;

  const auto last =
      modulated_norm(inputs[0][3].unsqueeze(0).to(at::kFloat), inputs[1][3].unsqueeze(0).to(at::kFloat),
                     inputs[2][3].unsqueeze(0).to(at::kFloat));
  EXPECT_TRUE(at::equal(last[0], alone[0][3]));
}

TEST(FusedOps, AttentionDependsNeitherOnThreadsNorOnTheOtherSamples) {
  at::manual_seed(6);
  const std::vector<at::Tensor> in = {normal({5, 33, 40}), weight(120, 40), normal({120}), weight(40, 40)};
  const Layer layer = [](const auto& inputs) { return self_attention_of(inputs, 4)(inputs[0]); };
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = run(layer, in, at::kFloat);
  at::set_num_threads(2);
  const auto together = run(layer, in, at::kFloat);
  at::set_num_threads(before);
  for (size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(at::equal(alone[i], together[i])) << i;
}

TEST(FusedOps, AttentionWithAndWithoutGradientsHasTheSameBits) {
  at::manual_seed(7);
  const std::vector<at::Tensor> in = {normal({2, 20, 24}).to(at::kFloat), weight(72, 24).to(at::kFloat),
                                      normal({72}).to(at::kFloat), weight(24, 24).to(at::kFloat)};
  const auto layer = self_attention_of(in, 3);
  const at::Tensor without = layer(in[0]);
  EXPECT_TRUE(at::equal(layer(in[0].clone().set_requires_grad(true)), without));
}

// Scores of thousands choose one key; a number that is not finite is not lost.
TEST(FusedOps, AttentionOfLargeAndNotFiniteNumbers) {
  at::manual_seed(8);
  std::vector<at::Tensor> in = {normal({1, 17, 8}).to(at::kFloat), 300 * at::eye(8).repeat({3, 1}),
                                at::zeros({24}), at::eye(8)};
  in[1].narrow(0, 16, 8).copy_(at::eye(8));
  const auto layer = self_attention_of(in, 1);
  const at::Tensor scores = at::matmul(in[0][0], in[0][0].t());
  EXPECT_TRUE(at::allclose(layer(in[0])[0], in[0][0].index_select(0, scores.argmax(1)), 1e-3, 1e-3));
  for (const double bad : {double(NAN), double(INFINITY)}) {
    at::Tensor x = in[0].clone();
    x[0][3][2].fill_(bad);
    EXPECT_TRUE(layer(x).isnan().any().item<bool>()) << bad;
  }
}

// Against LibTorch's in double precision; means far from 0 would cost a sum of squares its digits.
TEST(FusedOps, GroupNormWithChannelsLastIsThatOfDoublePrecision) {
  at::manual_seed(9);
  for (const auto& [batch, channels, groups, side] :
       {std::tuple{1, 4, 1, 1}, {2, 24, 4, 7}, {3, 96, 32, 20}, {1, 130, 2, 33}}) {
    StateDict state;
    const GroupNorm norm(Scope(state), channels, groups);
    for (auto& tensor : state.trainable()) tensor.normal_();
    const at::Tensor x = (normal({batch, channels, side, side + 1}) + 300 * normal({1, channels, 1, 1}))
                             .to(at::kFloat)
                             .contiguous(at::MemoryFormat::ChannelsLast);
    const at::Tensor exact = at::group_norm(x.to(at::kDouble), groups, norm.weight.to(at::kDouble),
                                            norm.bias.to(at::kDouble), norm.eps);
    const double scale = exact.abs().max().item<double>() + 1;
    at::NoGradGuard no_grad;
    const auto distance = [&](const at::Tensor& got, const at::Tensor& want) {
      EXPECT_EQ(got.strides(), x.strides());
      return (got.to(at::kDouble) - want).abs().max().item<double>() / scale;
    };
    EXPECT_LT(distance(norm(x), exact), 1e-5) << channels;
    EXPECT_LT(distance(norm.then_silu(x), at::silu(exact)), 1e-5) << channels;
  }
}

TEST(FusedOps, GroupNormWithSiluHasItsGradient) {
  at::manual_seed(10);
  const Layer layer = [](const auto& in) {
    StateDict state({.dtype = in[0].scalar_type()});
    GroupNorm norm(Scope(state), 8, 2);
    norm.weight = in[1];
    norm.bias = in[2];
    return norm.then_silu(in[0]);
  };
  expect_same(layer,
              {normal({2, 8, 5, 4}).contiguous(at::MemoryFormat::ChannelsLast), normal({8}), normal({8})});
}

}  // namespace
}  // namespace pixart::nn
