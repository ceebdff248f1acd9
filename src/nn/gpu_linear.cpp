#include "gpu_linear.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <optional>

#include "fused_ops.h"
#include "kernels/fused_cuda.h"
#include "passes.h"
#include "pixart/nn/kept_copy.h"

namespace pixart::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [rows, out] from the gradients of the parts; and that of the bias, if it is wanted.
Joined gradients_of_output(const variable_list& parts, bool with_bias) {
  if (parts.size() == 1) {
    const at::Tensor rows = parts[0].reshape({-1, parts[0].size(-1)});
    return {rows, with_bias ? rows.sum(0, /*keepdim=*/false, at::kFloat) : at::Tensor()};
  }
  std::vector<at::Tensor> rows;
  for (const auto& part : parts) rows.push_back(rows_in_place(part));
  const Joined joined = join_on_cuda(rows, with_bias);
  return {joined.rows.flatten(0, -2), joined.sums};
}

// down^T x; undefined if it has been added to the float32 sum of this weight.
at::Tensor gradient_of_weight(const at::Tensor& weight, const at::Tensor& down, const at::Tensor& x) {
  const auto place = gradient_place(weight);
  if (!place) return down.t().mm(x);
  at::Tensor sum = place->sum;
  if (place->adds)
    at::addmm_out(sum, sum, down.t(), x, at::kFloat, /*beta=*/1, /*alpha=*/1);
  else
    at::mm_out(sum, down.t(), x, at::kFloat);
  return {};
}

// [..., width], all of it one number.
at::Tensor without_values(const at::Tensor& x, int64_t width) {
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes.back() = width;
  return at::empty_strided(sizes, std::vector<int64_t>(sizes.size(), 0), x.options());
}

struct GpuLinear : torch::autograd::Function<GpuLinear> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                               const std::optional<at::Tensor>& bias, int64_t count, bool with_values) {
    context->save_for_backward({x, weight});
    context->saved_data["with_bias"] = bias && bias->requires_grad();
    if (!with_values) return {without_values(x, weight.size(0))};
    const at::Tensor y = at::linear(x, weight, bias ? in_type(*bias, x.scalar_type()) : at::Tensor());
    const int64_t width = y.size(-1) / count;
    variable_list parts;
    for (int64_t i = 0; i < count; ++i) parts.push_back(count == 1 ? y : y.narrow(-1, i * width, width));
    return parts;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1];
    const Joined down = gradients_of_output(gradients, context->saved_data["with_bias"].toBool());
    at::Tensor to_x, to_weight;
    if (x.requires_grad()) to_x = down.rows.mm(weight).view(x.sizes());
    if (weight.requires_grad())
      to_weight = gradient_of_weight(weight, down.rows, x.reshape({-1, x.size(-1)}));
    return {to_x, to_weight, down.sums, at::Tensor(), at::Tensor()};
  }
};

}  // namespace

bool has_gpu_linear(const at::Tensor& x, const at::Tensor& weight, int64_t count) {
  return x.is_cuda() && x.dim() >= 2 && x.numel() > 0 && count <= kernels::kMostJoined &&
         weight.size(0) % count == 0 && has_fused_form(x, weight.size(0) / count);
}

std::vector<at::Tensor> gpu_linear(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                                   int64_t count) {
  if (needs_gradient({x, weight, bias}))
    return GpuLinear::apply(x, weight, bias.defined() ? std::optional(bias) : std::nullopt, count,
                            /*with_values=*/true);
  const at::Tensor y = at::linear(x, weight, in_type(bias, x.scalar_type()));
  return count == 1 ? std::vector<at::Tensor>{y} : y.chunk(count, -1);
}

at::Tensor gpu_linear_without_values(const at::Tensor& x, const at::Tensor& weight) {
  if (!needs_gradient({x, weight})) return without_values(x, weight.size(0));
  return GpuLinear::apply(x, weight, std::optional<at::Tensor>(), int64_t{1}, /*with_values=*/false).front();
}

}  // namespace pixart::nn
