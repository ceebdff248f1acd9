#include "pixart/nn/lora.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "pixart/nn/layers.h"

namespace pixart::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// An MLP of 6, 8 and 4 numbers whose first layer has an adapter of rank 2 and alpha 6, so that it counts
// three times.
struct Adapted {
  explicit Adapted(at::ScalarType dtype = at::kDouble) : state({.dtype = dtype}), mlp(Scope(state), 6, 8, 4) {
    for (auto& tensor : state.trainable()) tensor.normal_(0, 0.3);
    Problems problems;
    add_lora(state, {.rank = 2, .alpha = 6, .targets = {"fc1"}}, {}, "targets", problems);
    EXPECT_TRUE(problems.empty());
  }
  at::Tensor a() const { return state.get("fc1.lora_A.weight"); }
  at::Tensor b() const { return state.get("fc1.lora_B.weight"); }
  StateDict state;
  Mlp mlp;
};

TEST(AddLora, RegistersWhatItsTargetsName) {
  const Adapted model;
  EXPECT_THAT(lora_names(model.state), ElementsAre("fc1.lora_A.weight", "fc1.lora_B.weight"));
  EXPECT_EQ(model.a().sizes(), at::IntArrayRef({2, 6}));
  EXPECT_EQ(model.b().sizes(), at::IntArrayRef({8, 2}));
  EXPECT_FALSE(is_lora_name("fc1.weight"));
  EXPECT_THAT(trainable_names(model.state), ::testing::Contains("fc1.lora_B.weight"));
}

TEST(AddLora, APatternWithoutMatchNamesWhatIsNear) {
  StateDict state;
  const Mlp mlp(Scope(state) / "blocks" / 0 / "mlp", 6, 8, 4);
  Problems problems;
  add_lora(state, {.rank = 2, .alpha = 2, .targets = {"blocks.*.mpl.*", "blocks.*.fc1"}}, {}, "lora.targets",
           problems);
  ASSERT_EQ(problems.all().size(), 1u);
  EXPECT_THAT(problems.all()[0], HasSubstr("lora.targets: 'blocks.*.mpl.*' matches no linear layer."));
  EXPECT_THAT(problems.all()[0], HasSubstr("Did you mean 'blocks.*.mlp.*'?"));
}

TEST(Lora, AtFirstTheModelComputesWhatItDid) {
  StateDict plain;
  const Mlp before(Scope(plain), 6, 8, 4);
  Adapted model(at::kFloat);
  for (const auto& item : plain.items()) at::Tensor(item.tensor).copy_(model.state.get(item.name));
  int initialized = 0;
  for (const auto& item : model.state.items()) initialized += initialize_lora(item, 5);
  EXPECT_EQ(initialized, 2);
  EXPECT_GT(model.a().abs().max().item<double>(), 0);
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    const at::Tensor x = at::randn({3, 6}).to(dtype);
    EXPECT_TRUE(at::equal(model.mlp(x), before(x)));
  }
}

TEST(Lora, InitialValuesAreThoseOfPeftAndDependOnTheNameAlone) {
  StateDict state;
  const Linear wide(Scope(state) / "wide", 400, 3);
  Problems problems;
  add_lora(state, {.rank = 50, .alpha = 1, .targets = {"wide"}}, {}, "", problems);
  const auto first = [&](uint64_t seed) {
    for (const auto& item : state.items()) initialize_lora(item, seed);
    return state.get("wide.lora_A.weight").clone();
  };
  const at::Tensor a = first(7);
  const double bound = 1 / std::sqrt(400.0);  // kaiming_uniform_(a = sqrt(5)): sqrt(6 / ((1 + 5) * 400))
  EXPECT_LE(a.abs().max().item<double>(), bound);
  EXPECT_GT(a.abs().max().item<double>(), 0.999 * bound);
  EXPECT_NEAR(a.std().item<double>(), bound / std::sqrt(3.0), 0.01 * bound);
  EXPECT_FALSE(at::equal(first(8), a));
  EXPECT_TRUE(at::equal(first(7), a));
  EXPECT_TRUE(state.get("wide.lora_B.weight").eq(0).all().item<bool>());
}

TEST(Lora, ForwardAndGradientsAreThoseOfTheSummedWeights) {
  Adapted model;
  at::Tensor a = model.a().normal_(), b = model.b().normal_();
  a.set_requires_grad(true), b.set_requires_grad(true);
  const at::Tensor x = at::randn({5, 6}, at::kDouble).set_requires_grad(true);
  torch::autograd::backward({model.mlp(x).square().sum()}, {});

  const at::Tensor w = model.state.get("fc1.weight");
  const at::Tensor sum = (w + 3 * b.detach().mm(a.detach())).set_requires_grad(true), z = x.detach().clone();
  z.set_requires_grad(true);
  const at::Tensor hidden = at::gelu(at::linear(z, sum, model.state.get("fc1.bias")), "tanh");
  const at::Tensor y = at::linear(hidden, model.state.get("fc2.weight"), model.state.get("fc2.bias"));
  torch::autograd::backward({y.square().sum()}, {});
  const auto near = [](const at::Tensor& got, const at::Tensor& want) {
    return at::allclose(got, want, 1e-10, 1e-10);
  };
  EXPECT_TRUE(near(model.mlp(x), y));
  EXPECT_TRUE(near(x.grad(), z.grad()));
  EXPECT_TRUE(near(a.grad(), 3 * b.detach().t().mm(sum.grad())));
  EXPECT_TRUE(near(b.grad(), 3 * sum.grad().mm(a.detach().t())));
  EXPECT_FALSE(w.grad().defined());
}

TEST(Lora, NarrowInputsKeepTheirTypeAndGiveWideGradients) {
  Adapted model(at::kFloat);
  at::Tensor a = model.a().normal_(), b = model.b().normal_();
  a.set_requires_grad(true), b.set_requires_grad(true);
  const at::Tensor x = at::randn({5, 6});
  const at::Tensor y = model.mlp(x.to(at::kBFloat16));
  EXPECT_EQ(y.scalar_type(), at::kBFloat16);
  EXPECT_LT((y.to(at::kFloat) - model.mlp(x)).norm().item<double>(),
            0.05 * y.to(at::kFloat).norm().item<double>());
  torch::autograd::backward({y.to(at::kFloat).sum()}, {});
  EXPECT_EQ(a.grad().scalar_type(), at::kFloat);
  EXPECT_GT(b.grad().abs().max().item<double>(), 0);
}

}  // namespace
}  // namespace pixart::nn
