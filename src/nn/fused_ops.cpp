#include "fused_ops.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>

#include "kernels/fused_cuda.h"
#include "passes.h"
#include "pixart/base/own_kernels.h"
#include "pixart/nn/kernel_problem.h"
#include "pixart/nn/layers.h"

namespace pixart::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using Optional = std::optional<at::Tensor>;

constexpr int64_t kAlignment = 16;  // bytes, of what a GPU's kernels read

const Passes& passes_of(const at::Tensor& x) { return x.is_cpu() ? kCpuPasses : kCudaPasses; }

bool is_aligned(const at::Tensor& x) {
  return reinterpret_cast<uintptr_t>(x.const_data_ptr()) % kAlignment == 0;
}

at::Tensor modulation_in_place(const at::Tensor& modulation) {
  const bool in_place = modulation.stride(-1) == 1;
  if (modulation.is_cpu()) return in_place ? modulation : modulation.contiguous();
  const bool rows_are_aligned = modulation.stride(0) * int64_t(sizeof(float)) % kAlignment == 0;
  return in_place && rows_are_aligned && is_aligned(modulation)
             ? modulation
             : modulation.clone(at::MemoryFormat::Contiguous);
}

Optional if_defined(const at::Tensor& tensor) { return tensor.defined() ? Optional(tensor) : std::nullopt; }

at::Tensor contiguous_if_defined(const at::Tensor& tensor) {
  return tensor.defined() ? rows_in_place(tensor) : tensor;
}

struct BiasGelu : torch::autograd::Function<BiasGelu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& bias) {
    context->save_for_backward({x, bias});
    return passes_of(x).bias_gelu(x, bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto [to_x, to_bias] =
        passes_of(saved[0]).bias_gelu_backward(saved[0], saved[1], rows_in_place(gradients[0]));
    return {to_x, to_bias};
  }
};

// The sum and, if `rounds`, the sum in the type of the branch.
struct AddGated : torch::autograd::Function<AddGated> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const Optional& gate,
                               const at::Tensor& branch, const Optional& bias, bool rounds) {
    // The gradient of the gate needs the branch; a frozen gate needs no gradient.
    const bool keeps = gate && gate->requires_grad();
    const at::Tensor none, added_bias = bias.value_or(none);
    context->save_for_backward({gate.value_or(none), keeps ? branch : none, keeps ? added_bias : none});
    context->saved_data["with_bias"] = bias && bias->requires_grad();
    context->saved_data["type"] = int64_t(branch.scalar_type());
    context->set_materialize_grads(false);
    const Rounded result = passes_of(x).add({x, gate.value_or(none), branch, added_bias}, true, rounds);
    return rounds ? variable_list{result.sum, result.rounded} : variable_list{result.sum};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto type = at::ScalarType(context->saved_data["type"].toInt());
    const at::Tensor rounded = contiguous_if_defined(gradients.size() > 1 ? gradients[1] : at::Tensor());
    at::Tensor sum = contiguous_if_defined(gradients[0]);
    if (!sum.defined() && !rounded.defined()) return variable_list(5);
    if (!sum.defined()) sum = at::zeros_like(rounded, rounded.options().dtype(at::kFloat));
    const AdditionGradients to =
        passes_of(sum).add_backward({.gate = saved[0],
                                     .branch = saved[1],
                                     .has_branch = true,
                                     .type = type,
                                     .bias = saved[2],
                                     .with_bias = context->saved_data["with_bias"].toBool()},
                                    {sum, rounded});
    return {to.x, to.gate, to.branch, to.bias, at::Tensor()};
  }
};

// A tensor of the shape of x without memory of its own: for uses of x whose gradient has another type.
at::Tensor place_for_gradients(const at::Tensor& x, at::ScalarType type) {
  const std::vector<int64_t> strides(size_t(x.dim()), 0);
  return at::empty_strided(x.sizes(), strides, x.options().dtype(type));
}

// The sum in the type of the branch; the sum itself is left to the norm that comes next. The first result has the values of x and
// takes the gradient of the sum. With `in_type`, x takes both gradients as they are, one of them in the type of the branch.
struct RoundSum : torch::autograd::Function<RoundSum> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const Optional& in_type,
                               const Optional& gate, const at::Tensor& branch, const Optional& bias) {
    const at::Tensor none, added_bias = bias.value_or(none);
    const bool keeps = gate && gate->requires_grad();
    context->save_for_backward({gate.value_or(none), keeps ? branch : none, keeps ? added_bias : none});
    context->saved_data["with_bias"] = bias && bias->requires_grad();
    context->saved_data["leaves_x"] = in_type.has_value() || !x.requires_grad();
    context->saved_data["type"] = int64_t(branch.scalar_type());
    context->set_materialize_grads(false);
    return {x, passes_of(x).add({x, gate.value_or(none), branch, added_bias}, false, true).rounded};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    at::Tensor sum = contiguous_if_defined(gradients[0]);
    const at::Tensor rounded = contiguous_if_defined(gradients[1]);
    if (!sum.defined() && !rounded.defined()) return variable_list(5);
    if (!sum.defined()) sum = at::zeros_like(rounded, rounded.options().dtype(at::kFloat));
    const bool leaves_x = context->saved_data["leaves_x"].toBool();
    const AdditionGradients to =
        passes_of(sum).add_backward({.gate = saved[0],
                                     .branch = saved[1],
                                     .has_branch = true,
                                     .type = at::ScalarType(context->saved_data["type"].toInt()),
                                     .leaves_x = leaves_x,
                                     .bias = saved[2],
                                     .with_bias = context->saved_data["with_bias"].toBool()},
                                    {sum, rounded});
    return {to.x, leaves_x ? rounded : at::Tensor(), to.gate, to.branch, to.bias};
  }
};

// The sum (x itself without a branch), its modulated norm and, if this has another type, place_for_gradients() of the sum: the
// gradient of the sum by all that uses it is computed in one pass.
struct AddAndNorm : torch::autograd::Function<AddAndNorm> {
  static variable_list forward(AutogradContext* context, const at::Tensor& x, const Optional& gate,
                               const Optional& branch, const Optional& bias, const Optional& earlier_gate,
                               const Optional& earlier_branch, const Optional& earlier_bias,
                               const at::Tensor& shift, const at::Tensor& scale, at::ScalarType type) {
    const at::Tensor none;
    const Addition addition{x, gate.value_or(none), branch.value_or(none), bias.value_or(none)};
    const Earlier earlier{earlier_gate.value_or(none), earlier_branch.value_or(none),
                          earlier_bias.value_or(none)};
    const Normed normed = passes_of(x).norm(addition, earlier, shift, scale, type);
    const bool keeps = gate && gate->requires_grad();
    context->save_for_backward({normed.sum, scale, normed.mean, normed.rstd, addition.gate,
                                keeps ? addition.branch : none, keeps ? addition.bias : none});
    context->saved_data["with_bias"] = bias && bias->requires_grad();
    context->saved_data["has_branch"] = branch.has_value();
    context->saved_data["with_modulation"] = shift.requires_grad() || scale.requires_grad();
    context->saved_data["type"] = int64_t(type);
    context->set_materialize_grads(false);
    if (type == x.scalar_type()) return {normed.sum, normed.out};
    return {normed.sum, normed.out, place_for_gradients(normed.sum, type)};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const auto type = at::ScalarType(context->saved_data["type"].toInt());
    const KeptNorm kept = {.addition = {.gate = saved[4],
                                        .branch = saved[5],
                                        .has_branch = context->saved_data["has_branch"].toBool(),
                                        .type = type,
                                        .bias = saved[6],
                                        .with_bias = context->saved_data["with_bias"].toBool()},
                           .sum = saved[0],
                           .scale = saved[1],
                           .mean = saved[2],
                           .rstd = saved[3],
                           .with_modulation = context->saved_data["with_modulation"].toBool()};
    at::Tensor out = contiguous_if_defined(gradients[1]);
    if (!out.defined()) out = at::zeros_like(kept.sum, kept.sum.options().dtype(type));
    const at::Tensor none;
    const NormGradients to = passes_of(out).norm_backward(
        kept, {.out = out,
               .sum = contiguous_if_defined(gradients[0]),
               .rounded = gradients.size() > 2 ? contiguous_if_defined(gradients[2]) : none});
    return {to.addition.x,
            kept.addition.branch.defined() ? to.addition.gate : none,
            kept.addition.has_branch ? to.addition.branch : none,
            to.addition.bias,
            none,
            none,
            none,
            to.shift,
            to.scale,
            none};
  }
};

bool one_per_sample(const at::Tensor& x, const at::Tensor& other) {
  return other.scalar_type() == at::kFloat && other.dim() == 3 && other.size(0) == x.size(0) &&
         other.size(1) == 1 && other.size(2) == x.size(2);
}

// The types of the residual and of what is added to it or made of it.
bool have_kernels(const at::Tensor& x, at::ScalarType other) {
  if (!has_fused_form(x)) return false;
  return other == x.scalar_type() || (x.is_cuda() && x.scalar_type() == at::kFloat && other == at::kBFloat16);
}

bool has_fused_norm_of_rows(const at::Tensor& x, const Modulation& modulation, at::ScalarType type) {
  return have_kernels(x, type) && one_per_sample(x, modulation.shift) &&
         one_per_sample(x, modulation.scale) && (x.is_cpu() || x.size(-1) <= kernels::kMostNormWidth);
}

// Kernels of a GPU read a residual as it is and round what they make of it; others compute in float32.
at::Tensor as_computed(const at::Tensor& x) {
  return x.is_cuda() && has_fused_form(x) ? x : at_least_float(x);
}
at::ScalarType type_made(const at::Tensor& x, at::ScalarType wanted) {
  return x.is_cuda() ? wanted : x.scalar_type();
}

at::Tensor modulation_if_defined(const at::Tensor& tensor) {
  return tensor.defined() ? modulation_in_place(tensor) : tensor;
}

Residual fused_norm(const Addition& given, const Earlier& before, const Modulation& modulation,
                    at::ScalarType type) {
  const Addition addition{rows_in_place(given.x), modulation_if_defined(given.gate),
                          contiguous_if_defined(given.branch), contiguous_if_defined(given.bias)};
  const Earlier earlier{modulation_if_defined(before.gate), contiguous_if_defined(before.branch),
                        contiguous_if_defined(before.bias)};
  const at::Tensor shift = modulation_in_place(modulation.shift),
                   scale = modulation_in_place(modulation.scale);
  if (!needs_gradient({addition.x, addition.gate, addition.branch, addition.bias, shift, scale})) {
    const Normed normed = passes_of(addition.x).norm(addition, earlier, shift, scale, type);
    return {normed.sum, normed.out, {}};
  }
  const auto both = AddAndNorm::apply(
      addition.x, if_defined(addition.gate), if_defined(addition.branch), if_defined(addition.bias),
      if_defined(earlier.gate), if_defined(earlier.branch), if_defined(earlier.bias), shift, scale, type);
  // What needs no gradient must not get one by its way through the operation.
  const bool passes = addition.branch.defined() || addition.x.requires_grad();
  return {passes ? both[0] : addition.x, both[1], passes && both.size() > 2 ? both[2] : at::Tensor()};
}

// {sum, sum in the type of the branch if `rounds`}
Rounded fused_add(const Addition& given, bool rounds) {
  const Addition addition{rows_in_place(given.x), modulation_if_defined(given.gate),
                          rows_in_place(given.branch), contiguous_if_defined(given.bias)};
  if (!needs_gradient({addition.x, addition.gate, addition.branch, addition.bias}))
    return passes_of(addition.x).add(addition, true, rounds);
  const auto results = AddGated::apply(addition.x, if_defined(addition.gate), addition.branch,
                                       if_defined(addition.bias), rounds);
  return {results[0], rounds ? results[1] : at::Tensor()};
}

at::Tensor value_of(const at::Tensor& x) { return x.defined() ? x.detach() : x; }

// add_rounded() by RoundSum.
RoundedStream fused_round(const Addition& given, const at::Tensor& in_type) {
  const Addition addition{rows_in_place(given.x), modulation_if_defined(given.gate),
                          rows_in_place(given.branch), contiguous_if_defined(given.bias)};
  const Branch branch(value_of(addition.branch), value_of(addition.bias));
  if (!needs_gradient({addition.x, addition.gate, addition.branch, addition.bias}))
    return {Stream(addition.x, addition.gate, branch),
            passes_of(addition.x).add(addition, false, true).rounded};
  const auto results = RoundSum::apply(addition.x, if_defined(in_type), if_defined(addition.gate),
                                       addition.branch, if_defined(addition.bias));
  return {Stream(results[0], value_of(addition.gate), branch), results[1]};
}

at::Tensor plain_norm(const at::Tensor& x, const Modulation& modulation) {
  return at::addcmul(modulation.shift, at::layer_norm(x, {x.size(-1)}, {}, {}, kNormEps),
                     modulation.scale + 1);
}

// Without a gate, the sum is rounded to no other type than that of x.
at::Tensor plain_sum(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& branch) {
  return gate.defined() ? at::addcmul(x, gate, at_least_float(branch)) : x + branch;
}

// For kernels of a GPU, which add it.
at::Tensor bias_of(const Branch& branch) {
  return branch.bias.defined() ? at_least_float(branch.bias) : at::Tensor();
}

Modulation at_least_floats(const Modulation& modulation) {
  return {at_least_float(modulation.shift), at_least_float(modulation.scale)};
}

}  // namespace

bool has_fused_form(const at::Tensor& x, int64_t width) {
  if (!own_kernels()) return false;
  const auto type = x.scalar_type();
  if (x.is_cpu()) return type == at::kFloat;
  return x.is_cuda() && (type == at::kFloat || type == at::kBFloat16) &&
         (width > 0 ? width : x.size(-1)) % kernels::kWidthUnit == 0 &&
         fused_kernel_problem(x.device()).empty();
}

at::Tensor rows_in_place(const at::Tensor& x) {
  const at::Tensor rows = x.contiguous();
  return rows.is_cpu() || is_aligned(rows) ? rows : rows.clone();
}

bool needs_gradient(std::initializer_list<at::Tensor> inputs) {
  return at::GradMode::is_enabled() && std::ranges::any_of(inputs, [](const at::Tensor& input) {
           return input.defined() && input.requires_grad();
         });
}

at::Tensor bias_gelu(const at::Tensor& x, const at::Tensor& bias) {
  const at::Tensor rows = rows_in_place(x).view({1, -1, x.size(-1)}),
                   with = rows_in_place(at_least_float(bias));
  return (needs_gradient({x, bias}) ? BiasGelu::apply(rows, with) : passes_of(rows).bias_gelu(rows, with))
      .view(x.sizes());
}

at::Tensor modulated_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale) {
  return normed(x, {shift, scale}, x.scalar_type()).input;
}

Residual normed(const at::Tensor& x, const Modulation& given, at::ScalarType type) {
  const at::Tensor residual = as_computed(x);
  const Modulation modulation = at_least_floats(given);
  const auto made = type_made(residual, type);
  if (!has_fused_norm_of_rows(residual, modulation, made))
    return {x, plain_norm(at_least_float(x), modulation).to(type), {}};
  const Residual result = fused_norm({residual, {}, {}}, {}, modulation, made);
  if (!residual.is_same(x)) return {x, result.input.to(type), {}};
  return {result.x, result.input.to(type), result.in_type};
}

Residual normed(const Stream& stream, const Modulation& modulation, at::ScalarType type) {
  if (!stream.branch.rows.defined()) return normed(stream.x, modulation, type);
  return add_normed(stream.x, stream.gate, stream.branch, modulation, type);
}

at::Tensor Stream::sum() const { return branch.rows.defined() ? gated_residual(x, gate, branch) : x; }

Stream add_later(const at::Tensor& x, const at::Tensor& gate, const Branch& branch) {
  const bool waits = x.is_cuda() && has_fused_norm_of_rows(x, {at_least_float(gate), at_least_float(gate)},
                                                           branch.rows.scalar_type());
  return waits ? Stream(x, at_least_float(gate), branch) : Stream(gated_residual(x, gate, branch));
}

at::Tensor Branch::whole() const { return bias.defined() ? rows + bias.to(rows.scalar_type()) : rows; }

namespace {

Residual added_and_rounded(const at::Tensor& x, const at::Tensor& gate, const Branch& branch,
                           at::ScalarType type) {
  const at::Tensor residual = as_computed(x), wide_gate = at_least_float(gate);
  const bool stays = x.is_cuda() && have_kernels(residual, branch.rows.scalar_type());
  const at::Tensor added = stays ? branch.rows : at_least_float(branch.rows);
  if (!have_kernels(residual, added.scalar_type()) || !one_per_sample(residual, wide_gate)) {
    const at::Tensor sum = plain_sum(at_least_float(x), wide_gate, branch.whole()).to(x.scalar_type());
    return {sum, sum.to(type), {}};
  }
  const bool rounds = type != residual.scalar_type() && type == added.scalar_type();
  const Rounded result = fused_add({residual, wide_gate, added, bias_of(branch)}, rounds);
  return {result.sum.to(x.scalar_type()), rounds ? result.rounded : result.sum.to(type), {}};
}

}  // namespace

at::Tensor gated_residual(const at::Tensor& x, const at::Tensor& gate, const Branch& branch) {
  return added_and_rounded(x, gate, branch, x.scalar_type()).x;
}

RoundedStream add_rounded(const Residual& residual, const at::Tensor& gate, const Branch& branch,
                          at::ScalarType type) {
  const at::Tensor &x = residual.x, wide_gate = at_least_float(gate);
  const bool waits = x.is_cuda() && type != x.scalar_type() && branch.rows.scalar_type() == type &&
                     has_fused_norm_of_rows(x, {wide_gate, wide_gate}, type);
  if (waits) return fused_round({x, wide_gate, branch.rows, bias_of(branch)}, residual.in_type);
  const Residual sum = added_and_rounded(x, gate, branch, type);
  return {sum.x, sum.input};
}

Residual add_normed(const Stream& stream, const at::Tensor& gate, const Branch& branch,
                    const Modulation& given, at::ScalarType type) {
  const at::Tensor& x = stream.x;
  const at::Tensor residual = as_computed(x), wide_gate = gate.defined() ? at_least_float(gate) : gate;
  const Modulation modulation = at_least_floats(given);
  const auto made = type_made(residual, type);
  if (!has_fused_norm_of_rows(residual, modulation, made) ||
      (gate.defined() && !one_per_sample(residual, wide_gate))) {
    const at::Tensor sum =
        plain_sum(at_least_float(stream.sum()), wide_gate, branch.whole()).to(x.scalar_type());
    return normed(sum, given, type);
  }
  const at::Tensor& left = stream.branch.rows;
  const Earlier earlier{stream.gate, left.defined() ? left.to(made) : left, bias_of(stream.branch)};
  const Residual result =
      fused_norm({residual, wide_gate, branch.rows.to(made), bias_of(branch)}, earlier, modulation, made);
  const bool is_as_made = result.x.scalar_type() == x.scalar_type() && made == type;
  return {result.x.to(x.scalar_type()), result.input.to(type), is_as_made ? result.in_type : at::Tensor()};
}

}  // namespace pixart::nn
