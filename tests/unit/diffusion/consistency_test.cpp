#include "pixart/diffusion/consistency.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "pixart/diffusion/samplers.h"

namespace pixart::diffusion {
namespace {

const NoiseSchedule& full_schedule() {
  static const NoiseSchedule schedule = make_noise_schedule("linear", 1000);
  return schedule;
}

// The first step of the solver, one in the middle, the last.
struct ThreeLatents {
  at::Tensor x_start = at::linspace(-0.9, 0.9, 3 * 2 * 4 * 4).view({3, 2, 4, 4});
  at::Tensor noise = at::sin(at::arange(3 * 2 * 4 * 4).to(at::kFloat)).view({3, 2, 4, 4});
  at::Tensor index = at::tensor({0, 25, 49}, at::kLong), guidance = at::tensor({1.0f, 4.0f, 9.0f});

  // The noise of these latents, which all networks would tell after endless training on them alone.
  at::Tensor noise_in(const at::Tensor& x, const at::Tensor& t) const {
    at::Tensor result = at::empty_like(x);
    for (int64_t b = 0; b < x.size(0); ++b) {
      const auto i = size_t(t[b].item<double>());
      result[b] = (x[b] - full_schedule().sqrt_alphas_cumprod[i] * x_start[b]) /
                  full_schedule().sqrt_one_minus_alphas_cumprod[i];
    }
    return result;
  }
  Denoiser knowing() const {
    return [this](const at::Tensor& x, const at::Tensor& t) { return noise_in(x, t); };
  }
  Denoiser knowing_pair() const {
    return [this](const at::Tensor& x, const at::Tensor& t) {
      const at::Tensor noise_of_both = noise_in(x, t);
      return at::cat({noise_of_both, noise_of_both});
    };
  }
  at::Tensor losses(const ConsistencyNetworks& networks, const ConsistencyConfig& config = {}) const {
    return ConsistencyLoss(full_schedule(), config, at::kCPU)
        .losses(networks, x_start, noise, index, guidance);
  }
};

TEST(ConsistencyLoss, TheAnswerIsTheInputAtTimestepZero) {
  EXPECT_EQ(boundary_scalings(0).skip, 1);
  EXPECT_EQ(boundary_scalings(0).out, 0);
  EXPECT_LT(boundary_scalings(19).skip, 1e-5);
  EXPECT_NEAR(boundary_scalings(19).out, 1, 1e-5);
}

// Of one trajectory the answers agree. At the start of the grid the boundary keeps the little noise of timestep 0.
TEST(ConsistencyLoss, NetworksThatKnowTheLatentAgree) {
  const ThreeLatents s;
  const at::Tensor losses = s.losses({s.knowing(), s.knowing_pair(), s.knowing()});
  EXPECT_LT(losses.narrow(0, 1, 2).max().item<float>(), 2e-3f);
  EXPECT_LT(losses[0].item<float>(), 0.02f);
  const Denoiser wrong = [&](const at::Tensor& x, const at::Tensor& t) { return 0.5 * s.noise_in(x, t); };
  EXPECT_GT(s.losses({wrong, s.knowing_pair(), s.knowing()})[2].item<float>(), 1.0f);
}

TEST(ConsistencyLoss, OnlyTheStudentGetsAGradient) {
  const ThreeLatents s;
  at::Tensor own = at::full({1}, 0.7f), other = at::full({1}, 0.9f);
  own.set_requires_grad(true), other.set_requires_grad(true);
  const auto scaled = [&s](const at::Tensor& factor) {
    return [&s, factor](const at::Tensor& x, const at::Tensor& t) { return factor * s.noise_in(x, t); };
  };
  const Denoiser pair = [&](const at::Tensor& x, const at::Tensor& t) {
    return at::cat({other * s.noise_in(x, t), s.noise_in(x, t)});
  };
  torch::autograd::backward({s.losses({scaled(own), pair, scaled(other)}).mean()}, {});
  EXPECT_NE(own.grad().item<float>(), 0);
  EXPECT_FALSE(other.grad().defined());
}

TEST(ConsistencyLoss, ScaleOneIsTheConditionAlone) {
  const ThreeLatents s;
  const auto with_null = [&](double factor) {
    const Denoiser pair = [&s, factor](const at::Tensor& x, const at::Tensor& t) {
      return at::cat({s.noise_in(x, t), factor * s.noise_in(x, t)});
    };
    const Denoiser doubting = [&s](const at::Tensor& x, const at::Tensor& t) {
      return 0.5 * s.noise_in(x, t);
    };
    return s.losses({s.knowing(), pair, doubting});
  };
  const at::Tensor a = with_null(1), b = with_null(0.5);
  EXPECT_NEAR(a[0].item<float>(), b[0].item<float>(), 1e-6f);
  for (const int64_t guided : {1, 2}) EXPECT_GT((b - a)[guided].abs().item<float>(), 0.01f);
}

TEST(ConsistencyLoss, TheWidthParts) {
  const ThreeLatents s;
  const Denoiser near = [&](const at::Tensor& x, const at::Tensor& t) { return 0.9 * s.noise_in(x, t); };
  const auto loss = [&](double width) {
    return s.losses({near, s.knowing_pair(), s.knowing()}, {.huber_width = width})[1].item<double>();
  };
  EXPECT_NEAR(loss(10) / loss(20), 2, 0.05);      // d^2 / 2c
  EXPECT_NEAR(loss(1e-4) / loss(2e-4), 1, 0.05);  // |d|
}

TEST(ConsistencyLoss, ItsModelsDrawInFourSteps) {
  Process process;
  EXPECT_EQ(default_sampler(process).sampler, SamplerConfig{}.sampler);
  process.consistency = true;
  const SamplerConfig sampler = default_sampler(process);
  EXPECT_EQ(sampler.sampler, "lcm");
  EXPECT_EQ(sampler.num_steps, 4);
  EXPECT_EQ(sampler.guidance, 1);
}

TEST(ConsistencyLoss, ARangeThatIsTurnedRoundIsRefused) {
  std::vector<std::string> problems;
  ConsistencyConfig{.least_guidance = 3, .most_guidance = 2}.validate(problems);
  EXPECT_EQ(problems.size(), 1u);
  ConsistencyConfig{}.validate(problems);
  EXPECT_EQ(problems.size(), 1u);
}

}  // namespace
}  // namespace pixart::diffusion
