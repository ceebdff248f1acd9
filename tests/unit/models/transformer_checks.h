// What the tests of DiT and PixArt share.
#pragma once
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <string>

#include "pixart/nn/state_dict.h"

namespace pixart::models {

// Every parameter and buffer at random, so that no path is silent as it is at the published start.
inline void randomize(nn::StateDict& state, double spread = 0.3) {
  at::NoGradGuard no_grad;
  for (const auto& item : state.items()) at::Tensor(item.tensor).normal_(0, spread);
}

// Analytic against numeric gradients of mean(output * cotangent): central differences in float64 on `samples`
// entries, evenly spread, of every trainable parameter. With a step of 1e-5 and losses of order 1 the
// difference quotient is off by about 1e-10 (third derivative) and 1e-11 (rounding).
inline void check_gradients(const nn::StateDict& state, const std::function<at::Tensor()>& forward,
                            int64_t samples = 3) {
  constexpr double kStep = 1e-5, kAbsolute = 1e-8, kRelative = 1e-6;
  ASSERT_EQ(state.options().dtype, at::kDouble);
  at::set_num_threads(1);  // models this small wait for a second thread longer than they compute
  auto parameters = state.trainable();
  for (auto& tensor : parameters) tensor.set_requires_grad(true);
  const at::Tensor output = forward();
  const at::Tensor cotangent = at::randn(output.sizes(), output.options());
  const auto loss = [&](const at::Tensor& value) { return (value * cotangent).mean(); };
  const auto gradients = torch::autograd::grad({loss(output)}, parameters);
  at::NoGradGuard no_grad;
  size_t index = 0;
  for (const auto& item : state.items()) {
    if (!item.trainable) continue;
    const at::Tensor entries = item.tensor.view({-1}), gradient = gradients[index++].reshape({-1});
    ASSERT_GT(gradient.abs().max().item<double>(), 0) << item.name << " has no influence";
    for (int64_t k = 0; k < std::min(samples, entries.numel()); ++k) {
      const at::Tensor entry = entries[k * entries.numel() / samples % entries.numel()];
      const double value = entry.item<double>();
      entry.fill_(value + kStep);
      const double above = loss(forward()).item<double>();
      entry.fill_(value - kStep);
      const double below = loss(forward()).item<double>();
      entry.fill_(value);
      const double analytic = gradient[k * entries.numel() / samples % entries.numel()].item<double>();
      EXPECT_NEAR((above - below) / (2 * kStep), analytic, kAbsolute + kRelative * std::abs(analytic))
          << item.name << ", sample " << k;
    }
  }
}

// Loss and gradients of every parameter after the micro-batches of `forward` (index -> output), accumulated.
inline std::vector<at::Tensor> loss_and_gradients(const nn::StateDict& state,
                                                  const std::function<at::Tensor(int64_t)>& forward,
                                                  int64_t micro_batches) {
  auto parameters = state.trainable();
  for (auto& tensor : parameters) {
    tensor.set_requires_grad(true);
    tensor.mutable_grad() = at::Tensor();
  }
  std::vector<at::Tensor> result;
  for (int64_t i = 0; i < micro_batches; ++i) {
    const at::Tensor loss = forward(i).to(at::kFloat).square().mean();
    torch::autograd::backward({loss}, {});
    result.push_back(loss.detach());
  }
  for (const auto& tensor : parameters) result.push_back(tensor.grad());
  return result;
}

// Every choice of recomputed blocks gives the same loss and gradients to the bit. `run` makes the output of
// a micro-batch with a model of that execution on `state`'s weights.
template <class Run>
void check_recompute(const nn::StateDict& state, const Run& run, int64_t micro_batches) {
  const auto plain = loss_and_gradients(
      state, [&](int64_t i) { return run(Execution{}, i); }, micro_batches);
  for (const int64_t every : {1, 2, 3}) {
    const Execution execution{.dtype = {}, .recompute_every = every};
    const auto got = loss_and_gradients(
        state, [&](int64_t i) { return run(execution, i); }, micro_batches);
    ASSERT_EQ(got.size(), plain.size());
    for (size_t i = 0; i < got.size(); ++i) {
      ASSERT_TRUE(plain[i].defined() && got[i].defined()) << i;
      EXPECT_TRUE(at::equal(got[i], plain[i])) << "every " << every << ", tensor " << i;
    }
  }
}

// Largest difference relative to the largest value.
inline double relative_distance(const at::Tensor& got, const at::Tensor& want) {
  return ((got - want).abs().max() / want.abs().max()).item<double>();
}

// Root mean square of the difference between a bfloat16 model and the float32 model with the same (rounded)
// weights, relative to the output's. A rounding to 8 bits is off by 2^-9 / sqrt(3) = 0.0011 (root mean
// square); the two blocks of a test model have about 25 of them in a row, which add up like a random walk to
// 0.006.
inline double bfloat16_distance(const at::Tensor& narrow, const at::Tensor& wide) {
  EXPECT_EQ(narrow.scalar_type(), at::kBFloat16);
  return ((narrow.to(at::kFloat) - wide).norm() / wide.norm()).item<double>();
}
constexpr double kBfloat16Distance = 0.02;  // about three times that

}  // namespace pixart::models
