#include <ATen/ATen.h>

#include "pixart/diffusion/samplers.h"
#include "solver_grid.h"

namespace pixart::diffusion {

at::Tensor sample_euler(const Denoiser& denoiser, const Process& flow, at::Tensor latent, int64_t num_steps,
                        const StepCallback& callback) {
  const auto grid = flow_euler_grid(flow, num_steps);
  for (int64_t k = 0; k < num_steps; ++k) {
    const double step = grid[k + 1].sigma - grid[k].sigma;
    latent = latent + step * predict(denoiser, latent, grid[k].model_t);
    if (callback) callback(k + 1, latent);
  }
  return latent;
}

at::Tensor sample_heun(const Denoiser& denoiser, const Process& flow, at::Tensor latent, int64_t num_steps,
                       const StepCallback& callback) {
  const auto grid = flow_euler_grid(flow, num_steps);
  for (int64_t k = 0; k < num_steps; ++k) {
    const GridPoint &from = grid[k], &to = grid[k + 1];
    const double step = to.sigma - from.sigma;
    const at::Tensor slope = predict(denoiser, latent, from.model_t), euler = latent + step * slope;
    latent = to.is_clean() ? euler : latent + 0.5 * step * (slope + predict(denoiser, euler, to.model_t));
    if (callback) callback(k + 1, latent);
  }
  return latent;
}

}  // namespace pixart::diffusion
