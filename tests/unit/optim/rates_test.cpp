#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "pixart/base/error.h"
#include "pixart/optim/optimizer.h"

namespace pixart::optim {
namespace {

constexpr double kRate = 0.01;

at::Tensor waves(at::IntArrayRef shape, double pace) {
  at::Tensor result = at::empty(shape);
  return at::sin(at::arange(result.numel()).to(at::kFloat) * pace).view(shape);
}

struct ThreeParameters {
  explicit ThreeParameters(const std::vector<std::vector<double>>& rates, double decay = 0.1,
                           std::vector<bool> without_decay = {})
      : flat(tensors(), std::move(without_decay)),
        optimizer({.eps = 1e-8, .weight_decay = decay}, flat, {}, rates),
        ema(flat.values().clone()) {}
  static std::vector<at::Tensor> tensors() {
    std::vector<at::Tensor> result = {waves({6, 4}, 0.3), waves({6}, 0.7), waves({5, 3}, 0.9)};
    for (auto& tensor : result) tensor.set_requires_grad(true);
    return result;
  }
  void step(int number, double lr = kRate) {
    flat.zero_gradients();
    const auto views = flat.views(flat.gradients());
    for (size_t i = 0; i < views.size(); ++i)
      at::Tensor(views[i]).copy_(waves(views[i].sizes(), 0.4 + 0.1 * number + double(i)));
    optimizer.step(flat, lr, 0.5, ema, 0.9);
  }
  FlatParameters flat;
  Optimizer optimizer;
  at::Tensor ema;
};

// Without decay, a parameter moves as with a learning rate of its own.
TEST(Rates, EachPartMovesWithItsOwnRate) {
  ThreeParameters mixed({{0.5, 1, 0.25}, {}, {2}}, 0), half({}, 0), whole({}, 0), quarter({}, 0),
      twice({}, 0);
  for (int i = 0; i < 4; ++i) {
    mixed.step(i), whole.step(i), half.step(i, 0.5 * kRate), quarter.step(i, 0.25 * kRate),
        twice.step(i, 2 * kRate);
  }
  const auto of = [](const ThreeParameters& p, size_t i) { return p.flat.parameters()[i].detach(); };
  const auto rows = [&](const ThreeParameters& p, int64_t first) { return of(p, 0).narrow(0, first, 2); };
  EXPECT_TRUE(at::equal(rows(mixed, 0), rows(half, 0)));
  EXPECT_TRUE(at::equal(rows(mixed, 2), rows(whole, 2)));
  EXPECT_TRUE(at::equal(rows(mixed, 4), rows(quarter, 4)));
  EXPECT_TRUE(at::equal(of(mixed, 1), of(whole, 1)));
  EXPECT_TRUE(at::equal(of(mixed, 2), of(twice, 2)));
  EXPECT_EQ(mixed.optimizer.steps(), 4);
}

TEST(Rates, DecayDoesNotDependOnThem) {
  ThreeParameters slow({{1e-9}, {1e-9}, {1e-9}}, 0.1, {false, true, false});
  const at::Tensor before = slow.flat.parameters()[0].detach().clone(),
                   bias = slow.flat.parameters()[1].detach().clone();
  slow.step(0);
  EXPECT_TRUE(at::allclose(slow.flat.parameters()[0].detach(), before * (1 - kRate * 0.1), 1e-6, 1e-7));
  EXPECT_TRUE(at::allclose(slow.flat.parameters()[1].detach(), bias, 1e-6, 1e-7));
}

TEST(Rates, RatesOfOneChangeNoBit) {
  ThreeParameters plain({}), ones({{1, 1, 1}, {}, {1}});
  for (int i = 0; i < 3; ++i) plain.step(i), ones.step(i);
  EXPECT_TRUE(at::equal(plain.flat.values(), ones.flat.values()));
  EXPECT_TRUE(at::equal(plain.ema, ones.ema));
}

// As with optimizer.shard.
TEST(Rates, SharesOfTheParametersGiveTheSameBits) {
  const std::vector<std::vector<double>> rates = {{0.5, 1, 0.25}, {0.5}, {0.125}};
  ThreeParameters whole(rates), other({});
  std::vector<FlatParameters> shares;
  std::vector<Optimizer> optimizers;
  for (const auto& range : other.flat.part_ranges(2)) {
    shares.push_back(other.flat.part(range));
    optimizers.emplace_back(OptimizerConfig{.eps = 1e-8, .weight_decay = 0.1}, shares.back(),
                            std::vector<int64_t>{}, rates);
  }
  whole.step(0);
  other.flat.gradients().copy_(whole.flat.gradients());
  for (size_t i = 0; i < shares.size(); ++i) optimizers[i].step(shares[i], kRate, 0.5, {}, 0);
  EXPECT_TRUE(at::equal(whole.flat.values(), other.flat.values()));
}

TEST(Rates, OtherOptimizersHaveOne) {
  const FlatParameters flat(ThreeParameters::tensors());
  EXPECT_THROW(Optimizer({.name = OptimizerName::kCame}, flat, {}, {{0.5}, {}, {}}), InternalError);
}

}  // namespace
}  // namespace pixart::optim
