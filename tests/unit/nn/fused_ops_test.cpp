// The fused forms against LibTorch's operations in double precision, forward and gradient.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cmath>
#include <functional>

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

void expect_same(const Layer& layer, const std::vector<at::Tensor>& inputs) {
  const auto exact = run(layer, inputs, at::kDouble), fused = run(layer, inputs, at::kFloat);
  ASSERT_EQ(fused.size(), inputs.size() + 1);
  for (size_t i = 0; i < fused.size(); ++i) {
    ASSERT_EQ(fused[i].sizes(), exact[i].sizes());
    const double scale = exact[i].abs().max().item<double>();
    EXPECT_LE((fused[i].to(at::kDouble) - exact[i]).abs().max().item<double>(), kTolerance * scale)
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

TEST_P(FusedOps, MlpIsThatOfDoublePrecision) {
  const auto [b, n, d] = GetParam();
  expect_same(mlp(), {3 * normal({b, n, d}), normal({2 * d, d}) / std::sqrt(double(d)), normal({2 * d}),
                      normal({3, 2 * d}) / std::sqrt(double(d))});
}

INSTANTIATE_TEST_SUITE_P(Shapes, FusedOps,
                         ::testing::Values(Shape{1, 1, 4}, Shape{2, 65, 36}, Shape{3, 200, 100},
                                           Shape{2, 128, 256}));

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

}  // namespace
}  // namespace pixart::nn
