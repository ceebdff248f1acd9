#include <ATen/ATen.h>

#include <cmath>

#include "pixart/diffusion/samplers.h"
#include "solver_grid.h"

namespace pixart::diffusion {

namespace {

constexpr int64_t kLowerOrderBelow = 10;  // with fewer steps, the last step is of first order

// A step to a clean point is of first order: its h is infinite.
at::Tensor solve(const Denoiser& denoiser, const SolverGrid& grid, at::Tensor latent,
                 const StepCallback& callback) {
  const int64_t num_steps = grid.num_steps();
  at::Tensor previous;
  for (int64_t k = 0; k < num_steps; ++k) {
    const GridPoint &from = grid[k], &to = grid[k + 1];
    const double h = to.lambda - from.lambda;
    const at::Tensor xstart = predict_xstart(denoiser, grid, from, latent);
    const bool first_order = k == 0 || to.is_clean() || (k + 1 == num_steps && num_steps < kLowerOrderBelow);
    at::Tensor direction = xstart;
    if (!first_order) {
      const double ratio = h / (from.lambda - grid[k - 1].lambda);
      direction = xstart + 0.5 * ratio * (xstart - previous);
    }
    latent = (to.sigma / from.sigma) * latent - to.alpha * std::expm1(-h) * direction;
    previous = xstart;
    if (callback) callback(k + 1, latent);
  }
  return latent;
}

}  // namespace

at::Tensor sample_dpm_solver_pp(const Denoiser& denoiser, const NoiseSchedule& full, at::Tensor latent,
                                int64_t num_steps, const StepCallback& callback) {
  return solve(denoiser, solver_grid(full, num_steps), std::move(latent), callback);
}

at::Tensor sample_flow_dpm_solver_pp(const Denoiser& denoiser, const Process& flow, at::Tensor latent,
                                     int64_t num_steps, const StepCallback& callback) {
  return solve(denoiser, flow_dpm_grid(flow, num_steps), std::move(latent), callback);
}

}  // namespace pixart::diffusion
