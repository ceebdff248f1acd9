#include "pixart/nn/recompute.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/grad_mode.h>

namespace pixart::nn {
namespace {

// Two parameters, one of them used twice; counts its calls.
struct Function {
  at::Tensor weight = at::randn({6, 6}).set_requires_grad(true),
             bias = at::randn({6}).set_requires_grad(true);
  std::shared_ptr<int> calls = std::make_shared<int>(0);
  Tensors operator()(const Tensors& in) const {
    ++*calls;
    return {at::gelu(at::linear(in[0], weight, bias)).matmul(weight) * in[1] + in[0]};
  }
};

TEST(RecomputeInBackward, GivesTheSameGradientsToTheBit) {
  const Function function;
  const at::Tensor x = at::randn({5, 6}).set_requires_grad(true),
                   gate = at::randn({6}).set_requires_grad(true);
  const std::vector<at::Tensor> leaves = {x, gate, function.weight, function.bias};
  const auto gradients = [&](bool recomputed) {
    for (auto leaf : leaves) leaf.mutable_grad() = at::Tensor();
    for (int pass = 0; pass < 2; ++pass) {  // the second adds to what is there
      const at::Tensor y = recomputed ? recompute_in_backward(function, {x.square(), gate}).front()
                                      : function({x.square(), gate}).front();
      torch::autograd::backward({y.square().sum()}, {});
    }
    std::vector<at::Tensor> result;
    for (const auto& leaf : leaves) result.push_back(leaf.grad());
    return result;
  };
  const auto plain = gradients(false), recomputed = gradients(true);
  for (size_t i = 0; i < leaves.size(); ++i) EXPECT_TRUE(at::equal(plain[i], recomputed[i])) << i;
  EXPECT_EQ(*function.calls, 6);  // 2 without, 2 forward and 2 in backward
}

TEST(RecomputeInBackward, PassesOnWhatAStreamLeaves) {
  const auto leaf = [](at::IntArrayRef sizes) { return at::randn(sizes).set_requires_grad(true); };
  const Tensors leaves = {leaf({2, 3, 8}), leaf({2, 1, 8}), leaf({2, 3, 8}), leaf({2, 1, 8})};
  std::vector<bool> only_graph;
  const RecomputableBlock block = [&](const Stream& in, const Tensors& others) {
    only_graph.push_back(wants_only_graph());
    const Residual first = normed(in, {others[0], others[0]}, at::kFloat);
    return Stream(first.x.square(), others[0] * 2, first.input * first.x);
  };
  const auto gradients = [&](bool recomputed) {
    for (auto tensor : leaves) tensor.mutable_grad() = at::Tensor();
    const Stream in(leaves[0], leaves[1], leaves[2]);
    const Stream out = recomputed ? recompute_in_backward(block, in, {leaves[3]}) : block(in, {leaves[3]});
    torch::autograd::backward({out.sum().square().sum()}, {});
    Tensors result;
    for (const auto& tensor : leaves) result.push_back(tensor.grad());
    return result;
  };
  const auto plain = gradients(false), recomputed = gradients(true);
  for (size_t i = 0; i < leaves.size(); ++i) EXPECT_TRUE(at::equal(plain[i], recomputed[i])) << i;
  EXPECT_EQ(only_graph, (std::vector<bool>{false, false, true}));
}

TEST(RecomputeInBackward, AddsToGradientsThatAreViews) {
  const Function function;
  const at::Tensor flat = at::zeros({36});
  function.weight.mutable_grad() = flat.view({6, 6});
  torch::autograd::backward(
      {recompute_in_backward(function, {at::ones({2, 6}).set_requires_grad(true), at::ones({6})})
           .front()
           .sum()},
      {});
  EXPECT_TRUE(function.weight.grad().is_alias_of(flat));
  EXPECT_GT(flat.abs().max().item<double>(), 0);
}

TEST(RecomputeInBackward, IsAPlainCallWhereNothingIsRecorded) {
  const Function function;
  const at::Tensor x = at::randn({2, 6}), gate = at::ones({6});
  EXPECT_EQ(recompute_in_backward(function, {x, gate}).front().grad_fn()->name().find("Recompute"),
            std::string::npos)
      << "an input without gradient must not hide the parameters'";
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(
      recompute_in_backward(function, {x.clone().set_requires_grad(true), gate}).front().requires_grad());
}

}  // namespace
}  // namespace pixart::nn
