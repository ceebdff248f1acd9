#include "solver_grid.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "estimate.h"
#include "pixart/base/error.h"

namespace pixart::diffusion {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

void require_steps(int64_t num_steps) {
  if (num_steps < 1)
    throw UserError(fmt::format("The number of sampling steps is {}; expected at least 1.", num_steps));
}

double at_least_some(double alphas_cumprod) {
  return alphas_cumprod > 0 ? alphas_cumprod : kSmallestAlphasCumprod;
}

GridPoint clean_point() { return {.t = 0, .alpha = 1, .sigma = 0, .lambda = kInfinity, .model_t = 0}; }

GridPoint flow_point(const Process& flow, double sigma) {
  return {.t = sigma,
          .alpha = 1 - sigma,
          .sigma = sigma,
          .lambda = std::log(1 - sigma) - std::log(sigma),
          .model_t = sigma * double(flow.num_train_steps)};
}

// The points of `sigmas`, then the clean one.
SolverGrid flow_grid(const Process& flow, const std::vector<double>& sigmas) {
  SolverGrid grid{Prediction::kFlow, {}};
  for (const double sigma : sigmas) grid.points.push_back(flow_point(flow, sigma));
  grid.points.push_back(clean_point());
  return grid;
}

}  // namespace

SolverGrid solver_grid(const NoiseSchedule& full, int64_t num_steps) {
  require_steps(num_steps);
  const ContinuousSchedule schedule(full);
  const double last = 1.0 / double(schedule.num_train_steps());
  SolverGrid grid{full.prediction, {}};
  for (int64_t k = 0; k <= num_steps; ++k) {
    const double t = k == num_steps ? last : 1.0 + (last - 1.0) * double(k) / double(num_steps);
    grid.points.push_back({.t = t,
                           .alpha = schedule.alpha(t),
                           .sigma = schedule.sigma(t),
                           .lambda = schedule.lambda(t),
                           .model_t = schedule.model_t(t)});
  }
  return grid;
}

SolverGrid whole_step_grid(const NoiseSchedule& full, int64_t num_steps) {
  require_steps(num_steps);
  const int64_t steps = full.num_train_steps;
  PIXART_CHECK(full.num_steps() == steps, "whole steps of a respaced schedule");
  if (num_steps >= steps)
    throw UserError(fmt::format("{} sampling steps; write 1 to {}.", num_steps, steps - 1));
  SolverGrid grid{full.prediction, {}};
  for (int64_t k = 0; k < num_steps; ++k) {
    const double place = double(num_steps - k) * double(steps - 1) / double(num_steps);
    const auto i = size_t(std::llrint(place));  // ties to even, as in numpy
    const double product = at_least_some(full.alphas_cumprod[i]), alpha = std::sqrt(product),
                 sigma = std::sqrt(1 - product);
    grid.points.push_back({.t = double(i + 1) / double(steps),
                           .alpha = alpha,
                           .sigma = sigma,
                           .lambda = std::log(alpha) - std::log(sigma),
                           .model_t = double(i)});
  }
  grid.points.push_back(clean_point());
  return grid;
}

SolverGrid flow_dpm_grid(const Process& flow, int64_t num_steps) {
  require_steps(num_steps);
  const double noisiest = 1 - 1 / double(flow.num_train_steps);
  std::vector<double> sigmas;
  for (int64_t k = 0; k < num_steps; ++k)
    sigmas.push_back(shifted(noisiest * double(num_steps - k) / double(num_steps), flow.shift));
  return flow_grid(flow, sigmas);
}

SolverGrid flow_unipc_grid(const Process& flow, int64_t num_steps) {
  require_steps(num_steps);
  constexpr double kBelowOne = 1e-6;
  const double last = 1 / double(flow.num_train_steps);
  std::vector<double> sigmas = {1 - kBelowOne};
  for (int64_t k = 1; k < num_steps; ++k)
    sigmas.push_back(shifted(1 + (last - 1) * double(k) / double(num_steps), flow.shift));
  return flow_grid(flow, sigmas);
}

SolverGrid flow_euler_grid(const Process& flow, int64_t num_steps) {
  require_steps(num_steps);
  // The last evaluated level is the least noisy of training, which already is shifted.
  const double last = shifted(1 / double(flow.num_train_steps), flow.shift);
  std::vector<double> sigmas;
  for (int64_t k = 0; k < num_steps; ++k) {
    const double fraction = num_steps == 1 ? 0 : double(k) / double(num_steps - 1);
    sigmas.push_back(shifted(1 + (last - 1) * fraction, flow.shift));
  }
  return flow_grid(flow, sigmas);
}

at::Tensor predict_xstart(const Denoiser& denoiser, const SolverGrid& grid, const GridPoint& point,
                          const at::Tensor& latent) {
  return xstart_from(grid.prediction, predict(denoiser, latent, point.model_t), latent, point.alpha,
                     point.sigma);
}

}  // namespace pixart::diffusion
