#include "solver_grid.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"

namespace pixart::diffusion {

std::vector<GridPoint> solver_grid(const NoiseSchedule& full, int64_t num_steps) {
  if (num_steps < 1)
    throw UserError(fmt::format("The number of sampling steps is {}; expected at least 1.", num_steps));
  const ContinuousSchedule schedule(full);
  const double last = 1.0 / double(schedule.num_train_steps());
  std::vector<GridPoint> grid;
  for (int64_t k = 0; k <= num_steps; ++k) {
    const double t = k == num_steps ? last : 1.0 + (last - 1.0) * double(k) / double(num_steps);
    grid.push_back({.t = t,
                    .alpha = schedule.alpha(t),
                    .sigma = schedule.sigma(t),
                    .lambda = schedule.lambda(t),
                    .model_t = schedule.model_t(t)});
  }
  return grid;
}

at::Tensor predict_xstart(const Denoiser& denoiser, const at::Tensor& latent, const GridPoint& point) {
  return (latent - point.sigma * predict_noise(denoiser, latent, point.model_t)) / point.alpha;
}

}  // namespace pixart::diffusion
