#include <ATen/ATen.h>

#include <cmath>

#include "pixart/diffusion/samplers.h"
#include "solver_grid.h"

namespace pixart::diffusion {

namespace {

constexpr int64_t kLowerOrderBelow = 10;  // with fewer steps, the last step is of first order

}  // namespace

at::Tensor sample_dpm_solver_pp(const Denoiser& denoiser, const NoiseSchedule& full, at::Tensor latent,
                                int64_t num_steps, const StepCallback& callback) {
  const auto grid = solver_grid(full, num_steps);
  at::Tensor previous;
  for (int64_t k = 0; k < num_steps; ++k) {
    const GridPoint &from = grid[size_t(k)], &to = grid[size_t(k + 1)];
    const double h = to.lambda - from.lambda;
    const at::Tensor xstart = predict_xstart(denoiser, latent, from);
    const bool first_order = k == 0 || (k + 1 == num_steps && num_steps < kLowerOrderBelow);
    at::Tensor direction = xstart;
    if (!first_order) {
      const double ratio = h / (from.lambda - grid[size_t(k - 1)].lambda);
      direction = xstart + 0.5 * ratio * (xstart - previous);
    }
    latent = (to.sigma / from.sigma) * latent - to.alpha * std::expm1(-h) * direction;
    previous = xstart;
    if (callback) callback(k + 1, latent);
  }
  return latent;
}

}  // namespace pixart::diffusion
