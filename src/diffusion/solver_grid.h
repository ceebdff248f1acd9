// The points in continuous time at which a solver evaluates the model.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "pixart/diffusion/denoiser.h"
#include "pixart/diffusion/noise_schedule.h"

namespace pixart::diffusion {

struct GridPoint {
  double t, alpha, sigma, lambda, model_t;
};

// num_steps + 1 points, evenly spaced in time from 1 to 1/steps. Throws UserError for num_steps < 1.
std::vector<GridPoint> solver_grid(const NoiseSchedule& full, int64_t num_steps);

// The prediction of x_0 at a point: (x - sigma noise) / alpha.
at::Tensor predict_xstart(const Denoiser& denoiser, const at::Tensor& latent, const GridPoint& point);

}  // namespace pixart::diffusion
