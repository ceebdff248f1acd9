#include "fused_ops.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "kernels/fused_cpu.h"

namespace pixart::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Rows per task. The number is fixed, so that sums over rows do not depend on the number of threads.
constexpr int64_t kTaskRows = 64;

// Divides the rows of a [batch, tokens, width] tensor into tasks; no task has rows of two samples.
struct Tasks {
  int64_t batch, tokens, width;
  explicit Tasks(const at::Tensor& x) : batch(x.size(0)), tokens(x.size(1)), width(x.size(2)) {}
  int64_t per_sample() const { return (tokens + kTaskRows - 1) / kTaskRows; }
  int64_t count() const { return batch * per_sample(); }

  // work(task, sample, index of its first row in the whole tensor, number of rows)
  template <class Work>
  void run(Work work) const {
    at::parallel_for(0, count(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t sample = task / per_sample(), start = task % per_sample() * kTaskRows;
        work(task, sample, sample * tokens + start,
             kernels::Rows{.count = std::min(kTaskRows, tokens - start), .width = width});
      }
    });
  }

  // Sums the results of the tasks for each sample: [tasks, width] -> [B, 1, width].
  at::Tensor sum(const at::Tensor& parts) const {
    return parts.view({batch, per_sample(), width}).sum(1, true);
  }
};

// A tensor [B, 1, D] whose rows may not be contiguous.
struct PerSample {
  const float* data;
  int64_t stride;
  explicit PerSample(const at::Tensor& tensor)
      : data(tensor.const_data_ptr<float>()), stride(tensor.stride(0)) {}
  const float* of(int64_t sample) const { return data + sample * stride; }
};

at::Tensor rows_contiguous(const at::Tensor& per_sample) {
  return per_sample.stride(-1) == 1 ? per_sample : per_sample.contiguous();
}

at::Tensor compute_bias_gelu(const at::Tensor& x, const at::Tensor& bias) {
  const at::Tensor out = at::empty_like(x);
  const auto *from = x.const_data_ptr<float>(), *with = bias.const_data_ptr<float>();
  auto* to = out.mutable_data_ptr<float>();
  Tasks(x).run([&](int64_t, int64_t, int64_t first, kernels::Rows rows) {
    const int64_t at = first * rows.width;
    kernels::bias_gelu(from + at, with, to + at, rows);
  });
  return out;
}

struct BiasGelu : torch::autograd::Function<BiasGelu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& bias) {
    context->save_for_backward({x, bias});
    return compute_bias_gelu(x, bias);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor x = saved[0], gradient = gradients[0].contiguous(), to_x = at::empty_like(x);
    const Tasks tasks(x);
    const at::Tensor to_bias = at::empty({tasks.count(), tasks.width}, x.options());
    const auto *from = x.const_data_ptr<float>(), *with = saved[1].const_data_ptr<float>(),
               *down = gradient.const_data_ptr<float>();
    auto *to = to_x.mutable_data_ptr<float>(), *sums = to_bias.mutable_data_ptr<float>();
    tasks.run([&](int64_t task, int64_t, int64_t first, kernels::Rows rows) {
      const int64_t at = first * rows.width;
      kernels::bias_gelu_backward(from + at, with, down + at, to + at, sums + task * rows.width, rows);
    });
    return {to_x, to_bias.sum(0)};
  }
};

struct Normed {
  at::Tensor out, mean, rstd;  // mean and rstd of each row
};

Normed compute_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale, double eps) {
  const Tasks tasks(x);
  const at::Tensor out = at::empty_like(x), mean = at::empty({tasks.batch * tasks.tokens}, x.options()),
                   rstd = at::empty_like(mean);
  const PerSample shifts(shift), scales(scale);
  const auto* from = x.const_data_ptr<float>();
  auto *to = out.mutable_data_ptr<float>(), *means = mean.mutable_data_ptr<float>(),
       *rstds = rstd.mutable_data_ptr<float>();
  tasks.run([&](int64_t, int64_t sample, int64_t first, kernels::Rows rows) {
    const int64_t at = first * rows.width;
    kernels::modulated_norm(from + at, shifts.of(sample), scales.of(sample), float(eps), to + at,
                            means + first, rstds + first, rows);
  });
  return {out, mean, rstd};
}

struct NormThenModulate : torch::autograd::Function<NormThenModulate> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& shift,
                            const at::Tensor& scale, double eps) {
    const Normed normed = compute_norm(x, shift, scale, eps);
    context->save_for_backward({x, scale, normed.mean, normed.rstd});
    return normed.out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor x = saved[0], gradient = gradients[0].contiguous(), to_x = at::empty_like(x);
    const Tasks tasks(x);
    const at::Tensor to_shift = at::empty({tasks.count(), tasks.width}, x.options()),
                     to_scale = at::empty_like(to_shift);
    const PerSample scales(saved[1]);
    const auto *from = x.const_data_ptr<float>(), *means = saved[2].const_data_ptr<float>(),
               *rstds = saved[3].const_data_ptr<float>(), *down = gradient.const_data_ptr<float>();
    auto *to = to_x.mutable_data_ptr<float>(), *shift_sums = to_shift.mutable_data_ptr<float>(),
         *scale_sums = to_scale.mutable_data_ptr<float>();
    tasks.run([&](int64_t task, int64_t sample, int64_t first, kernels::Rows rows) {
      const int64_t at = first * rows.width, sums = task * rows.width;
      kernels::modulated_norm_backward(from + at, means + first, rstds + first, scales.of(sample), down + at,
                                       to + at, shift_sums + sums, scale_sums + sums, rows);
    });
    return {to_x, tasks.sum(to_shift), tasks.sum(to_scale), at::Tensor()};
  }
};

at::Tensor compute_sum(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& branch) {
  const at::Tensor out = at::empty_like(x);
  const PerSample gates(gate);
  const auto *from = x.const_data_ptr<float>(), *with = branch.const_data_ptr<float>();
  auto* to = out.mutable_data_ptr<float>();
  Tasks(x).run([&](int64_t, int64_t sample, int64_t first, kernels::Rows rows) {
    const int64_t at = first * rows.width;
    kernels::gated_residual(from + at, gates.of(sample), with + at, to + at, rows);
  });
  return out;
}

struct AddGated : torch::autograd::Function<AddGated> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& gate,
                            const at::Tensor& branch) {
    // The gradient of the gate needs the branch; a frozen gate needs no gradient.
    context->save_for_backward({gate, gate.requires_grad() ? branch : at::Tensor()});
    return compute_sum(x, gate, branch);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor branch = saved[1], gradient = gradients[0].contiguous();
    if (!branch.defined()) return {gradient, at::Tensor(), gradient * saved[0]};
    const at::Tensor to_branch = at::empty_like(branch);
    const Tasks tasks(branch);
    const at::Tensor to_gate = at::empty({tasks.count(), tasks.width}, branch.options());
    const PerSample gates(saved[0]);
    const auto *with = branch.const_data_ptr<float>(), *down = gradient.const_data_ptr<float>();
    auto *to = to_branch.mutable_data_ptr<float>(), *sums = to_gate.mutable_data_ptr<float>();
    tasks.run([&](int64_t task, int64_t sample, int64_t first, kernels::Rows rows) {
      const int64_t at = first * rows.width;
      kernels::gated_residual_backward(gates.of(sample), with + at, down + at, sums + task * rows.width,
                                       to + at, rows);
    });
    return {gradient, tasks.sum(to_gate), to_branch};
  }
};

bool one_per_sample(const at::Tensor& x, const at::Tensor& other) {
  return other.scalar_type() == x.scalar_type() && other.dim() == 3 && other.size(0) == x.size(0) &&
         other.size(1) == 1 && other.size(2) == x.size(2);
}

}  // namespace

bool has_fused_form(const at::Tensor& x) { return x.is_cpu() && x.scalar_type() == at::kFloat; }

bool needs_gradient(std::initializer_list<at::Tensor> inputs) {
  return at::GradMode::is_enabled() &&
         std::ranges::any_of(inputs, [](const at::Tensor& input) { return input.requires_grad(); });
}

at::Tensor bias_gelu(const at::Tensor& x, const at::Tensor& bias) {
  const at::Tensor rows = x.contiguous().view({1, -1, x.size(-1)}), with = bias.contiguous();
  return (needs_gradient({x, bias}) ? BiasGelu::apply(rows, with) : compute_bias_gelu(rows, with))
      .view(x.sizes());
}

at::Tensor norm_then_modulate(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale,
                              double eps) {
  if (!has_fused_form(x) || !one_per_sample(x, shift) || !one_per_sample(x, scale))
    return at::addcmul(shift, at::layer_norm(x, {x.size(-1)}, {}, {}, eps), scale + 1);
  const at::Tensor rows = x.contiguous(), shifts = rows_contiguous(shift), scales = rows_contiguous(scale);
  return needs_gradient({x, shift, scale}) ? NormThenModulate::apply(rows, shifts, scales, eps)
                                           : compute_norm(rows, shifts, scales, eps).out;
}

at::Tensor add_gated(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& branch) {
  if (!has_fused_form(x) || !one_per_sample(x, gate)) return at::addcmul(x, gate, branch);
  const at::Tensor rows = x.contiguous(), gates = rows_contiguous(gate), branches = branch.contiguous();
  return needs_gradient({x, gate, branch}) ? AddGated::apply(rows, gates, branches)
                                           : compute_sum(rows, gates, branches);
}

}  // namespace pixart::nn
