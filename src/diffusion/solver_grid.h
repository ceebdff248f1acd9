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
  bool is_clean() const { return sigma == 0; }  // lambda is then infinite
};

// num_steps + 1 points, which begin with the noisiest, and what the model predicts there.
struct SolverGrid {
  Prediction prediction;
  std::vector<GridPoint> points;
  int64_t num_steps() const { return int64_t(points.size()) - 1; }
  const GridPoint& operator[](int64_t k) const { return points[size_t(k)]; }
};

// All throw UserError for num_steps < 1.
// Evenly spaced in time from 1 to 1/steps, as in the released solvers.
SolverGrid solver_grid(const NoiseSchedule& full, int64_t num_steps);
// Whole timesteps of `full`, evenly spaced from the noisiest, then a clean point: diffusers' "linspace".
SolverGrid whole_step_grid(const NoiseSchedule& full, int64_t num_steps);
// Straight paths, evenly spaced before the shift, which end clean. diffusers' DPM-Solver begins at 1 - 1/steps,
// its UniPC just below 1, where alpha is not 0, its Euler and Heun methods at 1. The model gets 1000 sigma with
// its fraction, which diffusers' solvers cut off.
SolverGrid flow_dpm_grid(const Process& flow, int64_t num_steps);
SolverGrid flow_unipc_grid(const Process& flow, int64_t num_steps);
SolverGrid flow_euler_grid(const Process& flow, int64_t num_steps);

// The prediction of x_0 at a point.
at::Tensor predict_xstart(const Denoiser& denoiser, const SolverGrid& grid, const GridPoint& point,
                          const at::Tensor& latent);

}  // namespace pixart::diffusion
