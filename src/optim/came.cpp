#include "pixart/optim/came.h"

#include <ATen/ATen.h>

#include <cmath>

#include "came_kernels.h"
#include "pixart/base/error.h"
#include "pixart/optim/adamw.h"

namespace pixart::optim {

namespace {

using Tensors = std::vector<at::Tensor>;

// On a GPU, elements of the parameters that are updated together: few launches, in little memory.
constexpr int64_t kGroupElements = 16 << 20;

bool is_factored(const at::Tensor& parameter) { return parameter.dim() >= 2; }

template <class Function>
Tensors each(const Tensors& tensors, Function function) {
  Tensors result;
  for (const auto& tensor : tensors) result.push_back(function(tensor));
  return result;
}

Tensors row_means(const Tensors& tensors) {
  return each(tensors, [](const at::Tensor& tensor) { return tensor.mean(-1); });
}
Tensors column_means(const Tensors& tensors) {
  return each(tensors, [](const at::Tensor& tensor) { return tensor.mean(-2); });
}

// Parameters that are updated together: all are factored, or none.
struct Group {
  Tensors values, decayed_values, gradients, averages;
  std::vector<CameMoments*> moments;
  int64_t elements = 0;
  Tensors of(at::Tensor CameMoments::*which) const {
    Tensors result;
    for (const CameMoments* each_moments : moments) result.push_back(each_moments->*which);
    return result;
  }
};

// averages <- beta * averages + (1 - beta) * values
void follow(const Tensors& averages, const Tensors& values, double beta) {
  at::_foreach_mul_(averages, beta);
  at::_foreach_add_(averages, values, 1 - beta);
}

// Reciprocal roots of matrices from their row and column means: outer products.
Tensors reciprocal_roots(const Tensors& rows, const Tensors& columns) {
  const Tensors row_roots =
      each(rows, [](const at::Tensor& row) { return row / row.mean(-1, /*keepdim=*/true); });
  at::_foreach_rsqrt_(row_roots);
  const Tensors column_roots = at::_foreach_rsqrt(columns);
  Tensors result;
  for (size_t i = 0; i < rows.size(); ++i)
    result.push_back(row_roots[i].unsqueeze(-1) * column_roots[i].unsqueeze(-2));
  return result;
}

// Each gradient divided by the root of its second moment.
Tensors scaled_gradients(const Group& group, const Tensors& gradients, const CameConfig& config) {
  const Tensors squares = at::_foreach_mul(gradients, gradients);
  at::_foreach_add_(squares, config.eps);
  Tensors result;
  if (is_factored(gradients.front())) {
    const Tensors rows = group.of(&CameMoments::exp_avg_sq_row),
                  columns = group.of(&CameMoments::exp_avg_sq_col);
    follow(rows, row_means(squares), config.betas[1]);
    follow(columns, column_means(squares), config.betas[1]);
    result = reciprocal_roots(rows, columns);
  } else {
    const Tensors moments = group.of(&CameMoments::exp_avg_sq);
    follow(moments, squares, config.betas[1]);
    result = at::_foreach_rsqrt(moments);
  }
  at::_foreach_mul_(result, gradients);
  return result;
}

// Works in place and does not wait for the device.
void limit_root_mean_squares(const Tensors& updates, double threshold) {
  std::vector<at::Scalar> roots_of_counts;
  for (const auto& update : updates) roots_of_counts.emplace_back(std::sqrt(double(update.numel())));
  const Tensors factors = at::_foreach_norm(updates, 2);
  at::_foreach_div_(factors, roots_of_counts);
  at::_foreach_div_(factors, threshold);
  at::_foreach_clamp_min_(factors, 1.0);
  at::_foreach_div_(updates, factors);
}

// The moving means of updates divided by the root of their squared distance to single updates.
Tensors steadied(const Group& group, const Tensors& updates, const CameConfig& config) {
  if (!is_factored(updates.front())) return group.averages;
  const Tensors residuals = at::_foreach_sub(updates, group.averages);
  at::_foreach_mul_(residuals, residuals);
  at::_foreach_add_(residuals, config.residual_eps);
  const Tensors rows = group.of(&CameMoments::exp_avg_res_row),
                columns = group.of(&CameMoments::exp_avg_res_col);
  follow(rows, row_means(residuals), config.betas[2]);
  follow(columns, column_means(residuals), config.betas[2]);
  const Tensors result = reciprocal_roots(rows, columns);
  at::_foreach_mul_(result, group.averages);
  return result;
}

void update(Group& group, const CameConfig& config, double lr, double gradient_scale) {
  if (group.values.empty()) return;
  const Tensors updates = scaled_gradients(group, at::_foreach_mul(group.gradients, gradient_scale), config);
  limit_root_mean_squares(updates, config.clip_threshold);
  follow(group.averages, updates, config.betas[0]);
  const Tensors directions = steadied(group, updates, config);
  if (!group.decayed_values.empty()) at::_foreach_mul_(group.decayed_values, 1 - lr * config.weight_decay);
  at::_foreach_sub_(group.values, directions, lr);
  group = {};
}

}  // namespace

CameState make_came_state(const FlatParameters& parameters) {
  const at::Tensor values = parameters.values();
  const kernels::CameLayout layout = came_layout_of(parameters);
  CameState state{.exp_avg = at::zeros_like(values),
                  .all_moments = at::zeros({layout.moments}, values.options()),
                  .moments = {},
                  .steps = 0};
  const auto views = parameters.views(values);
  for (size_t i = 0; i < views.size(); ++i) {
    int64_t begin = layout.parameters[i].moments;
    const auto next_like = [&](const at::Tensor& shape) {
      const at::Tensor moment = state.all_moments.narrow(0, begin, shape.numel()).view(shape.sizes());
      begin += shape.numel();
      return moment;
    };
    CameMoments moments;
    if (is_factored(views[i])) {
      const at::Tensor rows = views[i].select(-1, 0), columns = views[i].select(-2, 0);
      moments.exp_avg_sq_row = next_like(rows);
      moments.exp_avg_sq_col = next_like(columns);
      moments.exp_avg_res_row = next_like(rows);
      moments.exp_avg_res_col = next_like(columns);
    } else {
      moments.exp_avg_sq = next_like(views[i]);
    }
    state.moments.push_back(std::move(moments));
  }
  if (kernels_usable(values.device()) && values.scalar_type() == at::kFloat)
    state.work = make_came_work(parameters);
  return state;
}

void came_step(const FlatParameters& parameters, CameState& state, const CameConfig& config, double lr,
               const GradientScale& gradient_scale, const at::Tensor& ema, double ema_decay) {
  PIXART_CHECK(config.betas.size() == 3, "{} betas", config.betas.size());
  PIXART_CHECK(state.moments.size() == parameters.num_parameters(), "moments of {} parameters for {}",
               state.moments.size(), parameters.num_parameters());
  const at::NoGradGuard no_grad;
  ++state.steps;
  if (state.work) return came_step_by_kernels(parameters, state, config, lr, gradient_scale, ema, ema_decay);
  const auto values = parameters.views(parameters.values()),
             gradients = parameters.views(parameters.gradients()), averages = parameters.views(state.exp_avg);
  const int64_t most = parameters.values().is_cpu() ? 0 : kGroupElements;
  Group matrices, vectors;
  for (size_t i = 0; i < values.size(); ++i) {
    Group& group = is_factored(values[i]) ? matrices : vectors;
    if (group.elements + values[i].numel() > most) update(group, config, lr, gradient_scale.factor);
    group.values.push_back(values[i]);
    if (parameters.decays(i)) group.decayed_values.push_back(values[i]);
    group.gradients.push_back(gradients[i]);
    group.averages.push_back(averages[i]);
    group.moments.push_back(&state.moments[i]);
    group.elements += values[i].numel();
  }
  update(matrices, config, lr, gradient_scale.factor);
  update(vectors, config, lr, gradient_scale.factor);
  finish_values(parameters.values(), ema, ema_decay, parameters.rounded());
}

}  // namespace pixart::optim
