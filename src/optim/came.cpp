#include "pixart/optim/came.h"

#include <ATen/ATen.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/optim/adamw.h"

namespace pixart::optim {

namespace {

bool is_factored(const at::Tensor& parameter) { return parameter.dim() >= 2; }

// average <- beta * average + (1 - beta) * value
void follow(const at::Tensor& average, const at::Tensor& value, double beta) {
  average.mul_(beta).add_(value, 1 - beta);
}

// Reciprocal root of a matrix from its row and column means: an outer product.
at::Tensor reciprocal_root(const at::Tensor& row, const at::Tensor& col) {
  return (row / row.mean(-1, /*keepdim=*/true)).rsqrt_().unsqueeze(-1) * col.rsqrt().unsqueeze(-2);
}

// The gradient divided by the root of its second moment.
at::Tensor scaled_gradient(const at::Tensor& gradient, CameMoments& moments, const CameConfig& config) {
  const at::Tensor square = gradient.square().add_(config.eps);
  if (!is_factored(gradient)) {
    follow(moments.exp_avg_sq, square, config.betas[1]);
    return gradient * moments.exp_avg_sq.rsqrt();
  }
  follow(moments.exp_avg_sq_row, square.mean(-1), config.betas[1]);
  follow(moments.exp_avg_sq_col, square.mean(-2), config.betas[1]);
  return reciprocal_root(moments.exp_avg_sq_row, moments.exp_avg_sq_col).mul_(gradient);
}

// Works in place and does not wait for the device.
void limit_root_mean_square(const at::Tensor& update, double threshold) {
  const at::Tensor root_mean_square = at::linalg_vector_norm(update, 2) / std::sqrt(double(update.numel()));
  update.div_(root_mean_square.div_(threshold).clamp_min_(1.0));
}

// The moving mean of updates divided by the root of its squared distance to single updates.
at::Tensor steadied(const at::Tensor& update, const at::Tensor& exp_avg, CameMoments& moments,
                    const CameConfig& config) {
  if (!is_factored(update)) return exp_avg;
  const at::Tensor residual = (update - exp_avg).square_().add_(config.residual_eps);
  follow(moments.exp_avg_res_row, residual.mean(-1), config.betas[2]);
  follow(moments.exp_avg_res_col, residual.mean(-2), config.betas[2]);
  return reciprocal_root(moments.exp_avg_res_row, moments.exp_avg_res_col).mul_(exp_avg);
}

}  // namespace

CameState make_came_state(const FlatParameters& parameters) {
  const at::Tensor values = parameters.values();
  CameState state{.exp_avg = at::zeros_like(values), .moments = {}, .steps = 0};
  for (const auto& view : parameters.views(values)) {
    CameMoments moments;
    if (is_factored(view)) {
      moments.exp_avg_sq_row = at::zeros_like(view.select(-1, 0), at::MemoryFormat::Contiguous);
      moments.exp_avg_sq_col = at::zeros_like(view.select(-2, 0), at::MemoryFormat::Contiguous);
      moments.exp_avg_res_row = moments.exp_avg_sq_row.clone();
      moments.exp_avg_res_col = moments.exp_avg_sq_col.clone();
    } else {
      moments.exp_avg_sq = at::zeros_like(view);
    }
    state.moments.push_back(std::move(moments));
  }
  return state;
}

void came_step(const FlatParameters& parameters, CameState& state, const CameConfig& config, double lr,
               double gradient_scale, const at::Tensor& ema, double ema_decay) {
  PIXART_CHECK(config.betas.size() == 3, "{} betas", config.betas.size());
  PIXART_CHECK(state.moments.size() == parameters.num_parameters(), "moments of {} parameters for {}",
               state.moments.size(), parameters.num_parameters());
  const at::NoGradGuard no_grad;
  ++state.steps;
  const auto values = parameters.views(parameters.values()),
             gradients = parameters.views(parameters.gradients()), averages = parameters.views(state.exp_avg);
  for (size_t i = 0; i < values.size(); ++i) {
    const at::Tensor update = scaled_gradient(gradients[i] * gradient_scale, state.moments[i], config);
    limit_root_mean_square(update, config.clip_threshold);
    follow(averages[i], update, config.betas[0]);
    const at::Tensor direction = steadied(update, averages[i], state.moments[i], config);
    if (parameters.decays(i)) values[i].mul_(1 - lr * config.weight_decay);
    values[i].sub_(direction, lr);
  }
  if (!ema.defined()) return;
  at::Tensor average = ema;
  ema_update(average, parameters.values(), ema_decay);
}

}  // namespace pixart::optim
