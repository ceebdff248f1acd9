#include <ATen/ATen.h>

#include <cmath>
#include <optional>

#include "pixart/base/error.h"
#include "pixart/diffusion/samplers.h"
#include "solver_grid.h"

namespace pixart::diffusion {

namespace {

constexpr double kNoisyFrom = 0.2, kNoisyUntil = 0.8;  // a step draws noise between these times

struct Node {
  double lambda;
  at::Tensor xstart;
};

// One step of x_t = e^(-tau^2 h) sigma_k/sigma_s x + kappa alpha_k sum_j w_j x0_j + noise. The weights w_j =
// integral of e^(kappa u) l_j(u), u = lambda - lambda_k, are relative to e^(kappa lambda_k). Together with
// the factors before the sum this leaves alpha_k and cannot overflow.
class Step {
 public:
  Step(const GridPoint& from, const GridPoint& to, double tau)
      : to_(to),
        h_(to.lambda - from.lambda),
        kappa_(1 + tau * tau),
        carry_(std::exp(-tau * tau * h_) * to.sigma / from.sigma),
        noise_(to.sigma * std::sqrt(-std::expm1(-2 * tau * tau * h_))) {}

  bool draws_noise() const { return noise_ > 0; }

  at::Tensor first_order(const at::Tensor& latent, const Node& node, const at::Tensor& z) const {
    return advance(latent, integral() * node.xstart, z);
  }

  // With few steps the extra term replaces part of the interpolation error (the official few_steps mode).
  at::Tensor predict(const at::Tensor& latent, const Node& last, const Node& before,
                     const at::Tensor& z) const {
    return second_order(latent, last, before, (h_ * h_ / 2 - excess()) / (last.lambda - before.lambda), z);
  }
  at::Tensor correct(const at::Tensor& latent, const Node& next, const Node& last,
                     const at::Tensor& z) const {
    return second_order(latent, next, last, h_ / 2 - excess() / h_, z);
  }

 private:
  double integral() const { return -std::expm1(-kappa_ * h_) / kappa_; }  // of e^(kappa u) from -h to 0
  double first_moment() const {                                           // of u e^(kappa u)
    return (std::exp(-kappa_ * h_) * (kappa_ * h_ + 1) - 1) / (kappa_ * kappa_);
  }
  double excess() const { return (h_ * kappa_ - 1 + std::exp(-kappa_ * h_)) / (kappa_ * kappa_); }

  at::Tensor second_order(const at::Tensor& latent, const Node& first, const Node& second, double extra,
                          const at::Tensor& z) const {
    const double a = first.lambda - to_.lambda, b = second.lambda - to_.lambda;
    const double first_weight = (first_moment() - b * integral()) / (a - b) + extra;
    const double second_weight = (first_moment() - a * integral()) / (b - a) - extra;
    return advance(latent, first_weight * first.xstart + second_weight * second.xstart, z);
  }

  at::Tensor advance(const at::Tensor& latent, const at::Tensor& sum, const at::Tensor& z) const {
    const at::Tensor next = carry_ * latent + kappa_ * to_.alpha * sum;
    return draws_noise() ? next + noise_ * z : next;
  }

  GridPoint to_;
  double h_, kappa_, carry_, noise_;
};

}  // namespace

at::Tensor sample_sa_solver(const Denoiser& denoiser, const NoiseSchedule& full, at::Tensor latent,
                            const SaSolverOptions& options) {
  PIXART_CHECK(options.eta == 0 || options.noise, "SA-Solver with eta {} and no noise", options.eta);
  const auto grid = solver_grid(full, options.num_steps);
  Node last{grid[0].lambda, predict_xstart(denoiser, grid, grid[0], latent)};
  std::optional<Node> before;
  for (int64_t k = 1; k <= options.num_steps; ++k) {
    const GridPoint& to = grid[k];
    const bool is_last = k == options.num_steps;
    const bool noisy = to.t >= kNoisyFrom && to.t <= kNoisyUntil && !is_last;
    const Step step(grid[k - 1], to, noisy ? options.eta : 0.0);
    const at::Tensor z = step.draws_noise() ? options.noise(k - 1) : at::Tensor();
    at::Tensor next =
        before && !is_last ? step.predict(latent, last, *before, z) : step.first_order(latent, last, z);
    if (!is_last) {
      const Node evaluated{to.lambda, predict_xstart(denoiser, grid, to, next)};
      next = step.correct(latent, evaluated, last, z);
      before = last;
      last = evaluated;
    }
    latent = next;
    if (options.callback) options.callback(k, latent);
  }
  return latent;
}

}  // namespace pixart::diffusion
