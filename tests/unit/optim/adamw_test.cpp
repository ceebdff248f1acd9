#include "pixart/optim/adamw.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <iostream>

#include "adamw_by_libtorch.h"
#include "pixart/base/error.h"
#include "pixart/nn/device.h"

namespace pixart::optim {
namespace {

constexpr int64_t kSize = 100003;  // odd, and more than one thread's share
constexpr double kEmaDecay = 0.9;

at::Tensor wave(double frequency, at::ScalarType type) {
  return at::sin(at::arange(kSize).to(at::kDouble) * frequency).to(type);
}

AdamWConfig some_adamw_config() {
  AdamWConfig config;
  config.betas = {0.8, 0.95};
  config.eps = 1e-8;
  config.weight_decay = 0.1;
  return config;
}

struct Result {
  at::Tensor values, exp_avg, exp_avg_sq, ema;
};

constexpr int kSteps = 5;
double lr_of(int step) { return 1e-3 * (step + 1); }
double scale_of(int step) { return step % 2 == 0 ? 1.0 : 0.25; }
at::Tensor gradient_of(int step, at::ScalarType type) { return wave(0.1 + 0.3 * step, type) * 0.2; }

Result run(at::ScalarType type, c10::Device device, bool with_ema, int64_t num_decayed = kAllDecay) {
  at::Tensor values = wave(0.5, type).to(device), ema = with_ema ? wave(0.7, type).to(device) : at::Tensor();
  AdamWState state = make_adamw_state(values);
  for (int step = 0; step < kSteps; ++step) {
    adamw_step(values, gradient_of(step, type).to(device), state, some_adamw_config(), lr_of(step),
               scale_of(step), ema, kEmaDecay, num_decayed);
  }
  EXPECT_EQ(state.steps, kSteps);
  return {values, state.exp_avg, state.exp_avg_sq, ema};
}

// The published formulas, tensor by tensor, in double.
Result oracle() {
  const AdamWConfig config = some_adamw_config();
  const double beta1 = config.betas[0], beta2 = config.betas[1];
  at::Tensor p = wave(0.5, at::kDouble), ema = wave(0.7, at::kDouble), m = at::zeros_like(p),
             v = at::zeros_like(p);
  for (int step = 0; step < kSteps; ++step) {
    const at::Tensor g = gradient_of(step, at::kDouble) * scale_of(step);
    p = p * (1 - lr_of(step) * config.weight_decay);
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    const at::Tensor m_hat = m / (1 - std::pow(beta1, step + 1)), v_hat = v / (1 - std::pow(beta2, step + 1));
    p = p - lr_of(step) * m_hat / (v_hat.sqrt() + config.eps);
    ema = kEmaDecay * ema + (1 - kEmaDecay) * p;
  }
  return {p, m, v, ema};
}

void expect_near(const Result& got, const Result& want, double tolerance) {
  const auto distance = [](const at::Tensor& a, const at::Tensor& b) {
    return (a.cpu().to(at::kDouble) - b.cpu().to(at::kDouble)).abs().max().item<double>();
  };
  EXPECT_LT(distance(got.values, want.values), tolerance);
  EXPECT_LT(distance(got.exp_avg, want.exp_avg), tolerance);
  EXPECT_LT(distance(got.exp_avg_sq, want.exp_avg_sq), tolerance);
  if (got.ema.defined()) {
    EXPECT_LT(distance(got.ema, want.ema), tolerance);
  }
}

TEST(AdamW, EqualsThePlainFormulas) {
  const Result want = oracle();
  expect_near(run(at::kDouble, at::kCPU, true), want, 1e-14);
  // Values of size 1: a few roundings of 6e-8 in five steps.
  expect_near(run(at::kFloat, at::kCPU, true), want, 5e-7);
}

TEST(AdamW, DoesNotDependOnThreadsOrOnTheAverage) {
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const Result one = run(at::kFloat, at::kCPU, true);
  at::set_num_threads(2);
  const Result two = run(at::kFloat, at::kCPU, true), without = run(at::kFloat, at::kCPU, false);
  at::set_num_threads(before);
  for (const auto member : {&Result::values, &Result::exp_avg, &Result::exp_avg_sq}) {
    EXPECT_TRUE(at::equal(one.*member, two.*member));
    EXPECT_TRUE(at::equal(one.*member, without.*member));
  }
  EXPECT_TRUE(at::equal(one.ema, two.ema));
}

TEST(AdamW, TheFoldedAverageEqualsTheSeparateOne) {
  at::Tensor values = wave(0.5, at::kFloat), folded = wave(0.7, at::kFloat), separate = folded.clone();
  AdamWState state = make_adamw_state(values);
  adamw_step(values, gradient_of(0, at::kFloat), state, some_adamw_config(), 1e-3, 1.0, folded, kEmaDecay);
  ema_update(separate, values, kEmaDecay);
  EXPECT_TRUE(at::equal(folded, separate));
}

TEST(AdamW, DecayEndsWhereItIsTold) {
  const auto values_of = [](double weight_decay, int64_t num_decayed) {
    at::Tensor values = wave(0.5, at::kFloat), ema = values.clone();
    AdamWState state = make_adamw_state(values);
    AdamWConfig config = some_adamw_config();
    config.weight_decay = weight_decay;
    for (int step = 0; step < kSteps; ++step)
      adamw_step(values, gradient_of(step, at::kFloat), state, config, lr_of(step), 1.0, ema, kEmaDecay,
                 num_decayed);
    return at::stack({values, ema});
  };
  const at::Tensor with = values_of(0.1, kAllDecay), without = values_of(0, kAllDecay);
  EXPECT_TRUE(at::equal(values_of(0.1, 0), without));
  EXPECT_TRUE(at::equal(values_of(0.1, kSize), with));
  for (const int64_t border : {int64_t(1), int64_t(40001), kSize - 1}) {
    const at::Tensor mixed = values_of(0.1, border);
    EXPECT_TRUE(at::equal(mixed.slice(1, 0, border), with.slice(1, 0, border))) << border;
    EXPECT_TRUE(at::equal(mixed.slice(1, border), without.slice(1, border))) << border;
  }
}

TEST(AdamW, ARateOfZeroFillsTheMomentsOnly) {
  at::Tensor values = wave(0.5, at::kFloat);
  const at::Tensor before = values.clone();
  AdamWState state = make_adamw_state(values);
  adamw_step(values, gradient_of(1, at::kFloat), state, some_adamw_config(), 0.0);
  EXPECT_TRUE(at::equal(values, before));
  EXPECT_GT(state.exp_avg.abs().max().item<float>(), 0);
}

TEST(AdamW, AGradientOfZeroIsNoDivisionByZero) {
  AdamWConfig config;  // eps 1e-10
  config.weight_decay = 0;
  at::Tensor values = at::ones({5});
  AdamWState state = make_adamw_state(values);
  adamw_step(values, at::zeros({5}), state, config, 1.0);
  EXPECT_TRUE(at::equal(values, at::ones({5})));
}

TEST(EmaUpdate, DecayZeroCopiesAndOneKeeps) {
  const at::Tensor values = wave(0.5, at::kFloat), start = wave(0.7, at::kFloat);
  at::Tensor ema = start.clone();
  ema_update(ema, values, 1.0);
  EXPECT_TRUE(at::equal(ema, start));
  ema_update(ema, values, 0.0);
  EXPECT_TRUE(at::equal(ema, values));
}

TEST(AdamW, UnfitBuffersAreOurBug) {
  at::Tensor values = at::ones({4});
  AdamWState state = make_adamw_state(values);
  const AdamWConfig config;
  EXPECT_THROW(adamw_step(values, at::ones({5}), state, config, 1e-3), InternalError);
  EXPECT_THROW(adamw_step(values, at::ones({4}, at::kDouble), state, config, 1e-3), InternalError);
  EXPECT_THROW(adamw_step(values, at::ones({8}).slice(0, 0, 8, 2), state, config, 1e-3), InternalError);
  EXPECT_THROW(adamw_step(values, at::ones({4}), state, config, 1e-3, 1.0, at::ones({3}), 0.9),
               InternalError);
  at::Tensor half = at::ones({4}, at::kBFloat16);
  AdamWState half_state = make_adamw_state(half);
  EXPECT_THROW(adamw_step(half, half.clone(), half_state, config, 1e-3), InternalError);
  EXPECT_EQ(state.steps, 0);
}

// libtorch_cuda is loaded by select_device only; "auto" would load it on every machine that runs this test.
bool has_gpu() {
  return std::filesystem::exists("/dev/nvidiactl") && nn::select_device("auto").is_cuda() && at::hasCUDA();
}

TEST(AdamW, TheKernelEqualsTheCpuLoop) {
  if (!has_gpu()) {
    std::cout << "no GPU on this machine: the CUDA kernel was compiled, not run\n";
    return;
  }
  for (const bool with_ema : {false, true}) {
    // nvcc contracts products and sums, the CPU loop does not: a rounding per operation.
    expect_near(run(at::kFloat, at::kCUDA, with_ema), run(at::kFloat, at::kCPU, with_ema), 5e-7);
  }
  expect_near(run(at::kFloat, at::kCUDA, true, 40001), run(at::kFloat, at::kCPU, true, 40001), 5e-7);
  const at::Tensor gradients = wave(0.5, at::kFloat);
  EXPECT_NEAR(gradient_norm(gradients.to(at::kCUDA)) / gradient_norm(gradients), 1, 1e-6);
}

// What a GPU takes that cannot run our kernel.
TEST(AdamW, LibTorchsKernelMakesTheSameUpdate) {
  const AdamWConfig config{.betas = {0.9, 0.98}, .eps = 1e-8, .weight_decay = 0.1};
  for (const int64_t decayed : {int64_t{0}, int64_t{300}, kAllDecay}) {
    at::manual_seed(5);
    at::Tensor ours = at::randn({1000}), theirs = ours.clone();
    AdamWState state = make_adamw_state(ours), other = make_adamw_state(theirs);
    for (int step = 1; step <= 5; ++step) {
      const at::Tensor gradients = at::randn({1000});
      adamw_step(ours, gradients, state, config, 0.01, 0.5, {}, 0, decayed);
      ++other.steps;
      adamw_by_libtorch(theirs, gradients, other, config, 0.01, 0.5, decayed);
    }
    EXPECT_TRUE(at::allclose(ours, theirs, 1e-5, 1e-7)) << decayed;
    EXPECT_TRUE(at::allclose(state.exp_avg_sq, other.exp_avg_sq, 1e-5, 1e-9)) << decayed;
  }
}

TEST(AdamW, TheCpuNeedsNoKernel) { EXPECT_EQ(adamw_kernel_problem(at::kCPU), ""); }

}  // namespace
}  // namespace pixart::optim
