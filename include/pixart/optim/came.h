// CAME (Luo et al. 2023; results as the package came-pytorch, PixArt-sigma's optimizer). Second moments of
// matrices are stored as one mean per row and column; steadier updates are scaled up.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "pixart/optim/adamw.h"
#include "pixart/optim/flat_parameters.h"

namespace pixart::optim {

struct CameConfig {
  std::vector<double> betas = {0.9, 0.999, 0.9999};  // of the update, its second moment, its instability
  double eps = 1e-30;                                // added to the squared gradient
  double residual_eps = 1e-16;                       // added to the squared difference of update and mean
  double clip_threshold = 1.0;                       // largest root mean square of a tensor's update
  double weight_decay = 0.0;
};

// The moments of one parameter. With two or more dimensions: means of rows and of columns over the last two.
// Otherwise only exp_avg_sq. Unused tensors are undefined.
struct CameMoments {
  at::Tensor exp_avg_sq_row, exp_avg_sq_col, exp_avg_res_row, exp_avg_res_col;
  at::Tensor exp_avg_sq;
};

struct CameWork;  // of kernels
struct CameState {
  at::Tensor exp_avg;                // flat
  at::Tensor all_moments;            // one buffer
  std::vector<CameMoments> moments;  // views of it
  int64_t steps = 0;                 // updates done
  std::shared_ptr<CameWork> work = {};
};
CameState make_came_state(const FlatParameters& parameters);

// First multiplies gradients by gradient_scale (the clip factor). With a defined `ema`, a flat buffer, sets
// ema <- decay * ema + (1 - decay) * values at the end. On a GPU that runs our kernels (adamw.h), an update is seven launches,
// whatever the number of parameters, with the same arguments at each step; their last pass also writes the EMA and the rounded
// copy.
void came_step(const FlatParameters& parameters, CameState& state, const CameConfig& config, double lr,
               const GradientScale& gradient_scale = {}, const at::Tensor& ema = {}, double ema_decay = 0.0);

}  // namespace pixart::optim
