#include "pixart/optim/came.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/optim/adamw.h"

namespace pixart::optim {
namespace {

constexpr int kCameSteps = 5;
constexpr double kLr = 1e-2, kScale = 0.25, kCameEmaDecay = 0.9;

at::Tensor wave(at::IntArrayRef shape, double frequency, at::ScalarType type) {
  return at::sin(at::arange(c10::multiply_integers(shape)).to(at::kDouble) * frequency + 0.3)
      .to(type)
      .view(shape);
}

const std::vector<std::vector<int64_t>> kShapes = {{5, 7}, {3}, {2, 3, 4}, {}};

CameConfig some_came_config() {
  return {.betas = {0.8, 0.95, 0.99},
          .eps = 1e-12,
          .residual_eps = 1e-8,
          .clip_threshold = 0.7,
          .weight_decay = 0.1};
}

FlatParameters some_parameters(at::ScalarType type, std::vector<bool> without_decay = {}) {
  std::vector<at::Tensor> parameters;
  for (const auto& shape : kShapes) parameters.push_back(wave(shape, 0.7, type).set_requires_grad(true));
  return FlatParameters(parameters, std::move(without_decay));
}

void load_gradients(const FlatParameters& flat, int step) {
  for (const auto& view : flat.views(flat.gradients()))
    view.copy_(wave(view.sizes(), 0.2 + 0.3 * step, at::kDouble) * (step + 1));
}

std::vector<at::Tensor> run(FlatParameters flat, const CameConfig& config, const at::Tensor& ema = {}) {
  CameState state = make_came_state(flat);
  for (int step = 0; step < kCameSteps; ++step) {
    load_gradients(flat, step);
    came_step(flat, state, config, kLr, kScale, ema, kCameEmaDecay);
  }
  EXPECT_EQ(state.steps, kCameSteps);
  return flat.views(flat.values());
}

// The second moment that means of rows and columns stand for, written out: r c / mean(r).
at::Tensor product(const at::Tensor& row, const at::Tensor& col) {
  return row.unsqueeze(-1) * col.unsqueeze(-2) / row.mean(-1).unsqueeze(-1).unsqueeze(-1);
}

// The published algorithm for one parameter, in double.
at::Tensor oracle(const std::vector<int64_t>& shape, const CameConfig& config, double weight_decay) {
  at::Tensor p = wave(shape, 0.7, at::kDouble), m = at::zeros_like(p);
  at::Tensor v = at::zeros_like(p), row, col, res_row, res_col;
  const bool factored = shape.size() >= 2;
  if (factored) {
    row = v.mean(-1), col = v.mean(-2), res_row = v.mean(-1), res_col = v.mean(-2);
  }
  const auto mix = [](const at::Tensor& old, const at::Tensor& now, double beta) {
    return beta * old + (1 - beta) * now;
  };
  for (int step = 0; step < kCameSteps; ++step) {
    const at::Tensor g = wave(shape, 0.2 + 0.3 * step, at::kDouble) * (step + 1) * kScale;
    const at::Tensor square = g * g + config.eps;
    if (factored) {
      row = mix(row, square.mean(-1), config.betas[1]), col = mix(col, square.mean(-2), config.betas[1]);
      v = product(row, col);
    } else {
      v = mix(v, square, config.betas[1]);
    }
    at::Tensor u = g / v.sqrt();
    u = u / std::max(1.0, u.square().mean().sqrt().item<double>() / config.clip_threshold);
    m = mix(m, u, config.betas[0]);
    at::Tensor direction = m;
    if (factored) {
      const at::Tensor residual = (u - m).square() + config.residual_eps;
      res_row = mix(res_row, residual.mean(-1), config.betas[2]);
      res_col = mix(res_col, residual.mean(-2), config.betas[2]);
      direction = m / product(res_row, res_col).sqrt();
    }
    p = p * (1 - kLr * weight_decay) - kLr * direction;
  }
  return p;
}

TEST(Came, EqualsThePlainFormulas) {
  const auto config = some_came_config();
  // In float32: a few roundings of 6e-8 of values of size 1, in five steps.
  for (const auto& [type, tolerance] : {std::pair{at::kDouble, 1e-13}, std::pair{at::kFloat, 2e-6}}) {
    const auto got = run(some_parameters(type), config);
    for (size_t i = 0; i < kShapes.size(); ++i) {
      const at::Tensor want = oracle(kShapes[i], config, config.weight_decay);
      EXPECT_LT((got[i].to(at::kDouble) - want).abs().max().item<double>(), tolerance) << i;
    }
  }
}

TEST(Came, ParametersWithoutDecayAreThoseOfADecayOfZero) {
  auto none = some_came_config();
  none.weight_decay = 0;
  const auto with = run(some_parameters(at::kFloat), some_came_config());
  const auto without = run(some_parameters(at::kFloat), none);
  const auto mixed = run(some_parameters(at::kFloat, {true, false, false, true}), some_came_config());
  EXPECT_TRUE(at::equal(mixed[0], without[0]));
  EXPECT_TRUE(at::equal(mixed[1], with[1]));
  EXPECT_TRUE(at::equal(mixed[2], with[2]));
  EXPECT_TRUE(at::equal(mixed[3], without[3]));
  EXPECT_FALSE(at::equal(with[0], without[0]));
}

TEST(Came, TheAverageFollowsEachStep) {
  FlatParameters flat = some_parameters(at::kFloat);
  CameState state = make_came_state(flat);
  at::Tensor folded = at::zeros_like(flat.values()), separate = folded.clone();
  for (int step = 0; step < 2; ++step) {
    load_gradients(flat, step);
    came_step(flat, state, some_came_config(), kLr, 1.0, folded, kCameEmaDecay);
    ema_update(separate, flat.values(), kCameEmaDecay);
  }
  EXPECT_TRUE(at::equal(folded, separate));
}

TEST(Came, KeepsRowsAndColumnsInPlaceOfMatrices) {
  const CameState state = make_came_state(some_parameters(at::kFloat));
  ASSERT_EQ(state.moments.size(), kShapes.size());
  EXPECT_EQ(state.moments[0].exp_avg_sq_row.sizes(), at::IntArrayRef({5}));
  EXPECT_EQ(state.moments[0].exp_avg_res_col.sizes(), at::IntArrayRef({7}));
  EXPECT_FALSE(state.moments[0].exp_avg_sq.defined());
  EXPECT_EQ(state.moments[2].exp_avg_sq_row.sizes(), at::IntArrayRef({2, 3}));
  EXPECT_EQ(state.moments[2].exp_avg_sq_col.sizes(), at::IntArrayRef({2, 4}));
  EXPECT_EQ(state.moments[1].exp_avg_sq.sizes(), at::IntArrayRef({3}));
  EXPECT_FALSE(state.moments[1].exp_avg_sq_row.defined());
  EXPECT_EQ(state.moments[3].exp_avg_sq.dim(), 0);
}

TEST(Came, GradientsOfZeroMoveNothing) {
  const FlatParameters flat = some_parameters(at::kFloat);
  CameState state = make_came_state(flat);
  const at::Tensor before = flat.values().clone();
  came_step(flat, state, CameConfig(), 1.0);
  EXPECT_TRUE(at::equal(flat.values(), before));
}

TEST(Came, UnfitArgumentsAreOurBug) {
  const FlatParameters flat = some_parameters(at::kFloat);
  CameState state = make_came_state(flat);
  EXPECT_THROW(came_step(flat, state, {.betas = {0.9, 0.999}}, kLr), InternalError);
  state.moments.pop_back();
  EXPECT_THROW(came_step(flat, state, some_came_config(), kLr), InternalError);
}

}  // namespace
}  // namespace pixart::optim
