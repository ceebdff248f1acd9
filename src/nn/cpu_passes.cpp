#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "kernels/fused_cpu.h"
#include "passes.h"

namespace pixart::nn {

namespace {

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

  at::Tensor parts(const at::Tensor& like) const { return at::empty({count(), width}, like.options()); }

  // Sums the results of the tasks for each sample: [tasks, width] -> [B, 1, width].
  at::Tensor sum(const at::Tensor& parts) const {
    return parts.view({batch, per_sample(), width}).sum(1, true);
  }
};

const float* read(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr<float>() : nullptr;
}
float* write(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.mutable_data_ptr<float>() : nullptr;
}

// A tensor [B, 1, D] whose rows may not be contiguous; null if it is undefined.
struct PerSample {
  const float* data = nullptr;
  int64_t stride = 0;
  explicit PerSample(const at::Tensor& tensor)
      : data(read(tensor)), stride(tensor.defined() ? tensor.stride(0) : 0) {}
  const float* of(int64_t sample) const { return data == nullptr ? nullptr : data + sample * stride; }
};

at::Tensor bias_gelu_on_cpu(const at::Tensor& x, const at::Tensor& bias) {
  const at::Tensor out = at::empty_like(x);
  const auto *from = read(x), *with = read(bias);
  auto* to = write(out);
  Tasks(x).run([&](int64_t, int64_t, int64_t first, kernels::Rows rows) {
    const int64_t at = first * rows.width;
    kernels::bias_gelu(from + at, with, to + at, rows);
  });
  return out;
}

std::pair<at::Tensor, at::Tensor> bias_gelu_backward_on_cpu(const at::Tensor& x, const at::Tensor& bias,
                                                            const at::Tensor& gradient) {
  const Tasks tasks(x);
  const at::Tensor to_x = at::empty_like(x), to_bias = tasks.parts(x);
  const auto *from = read(x), *with = read(bias), *down = read(gradient);
  auto *to = write(to_x), *sums = write(to_bias);
  tasks.run([&](int64_t task, int64_t, int64_t first, kernels::Rows rows) {
    const int64_t at = first * rows.width;
    kernels::bias_gelu_backward(from + at, with, down + at, to + at, sums + task * rows.width, rows);
  });
  return {to_x, to_bias.sum(0)};
}

void add_rows(const float* x, const float* gate, const float* branch, float* sum, kernels::Rows rows) {
  if (gate != nullptr)
    kernels::gated_residual(x, gate, branch, sum, rows);
  else
    kernels::sum_of(x, branch, sum, rows);
}

Rounded add_on_cpu(const Addition& addition, bool, bool) {
  const at::Tensor sum = at::empty_like(addition.x);
  const PerSample gates(addition.gate);
  const auto *from = read(addition.x), *with = read(addition.branch);
  auto* to = write(sum);
  Tasks(sum).run([&](int64_t, int64_t sample, int64_t first, kernels::Rows rows) {
    const int64_t at = first * rows.width;
    add_rows(from + at, gates.of(sample), with + at, to + at, rows);
  });
  return {sum, {}};
}

AdditionGradients add_backward_on_cpu(const KeptAddition& kept, const Rounded& gradients) {
  const at::Tensor& gradient = gradients.sum;
  if (!kept.gate.defined()) return {gradient, {}, gradient};
  if (!kept.branch.defined()) return {gradient, {}, gradient * kept.gate};
  const Tasks tasks(gradient);
  const at::Tensor to_branch = at::empty_like(gradient), to_gate = tasks.parts(gradient);
  const PerSample gates(kept.gate);
  const auto *with = read(kept.branch), *down = read(gradient);
  auto *to = write(to_branch), *sums = write(to_gate);
  tasks.run([&](int64_t task, int64_t sample, int64_t first, kernels::Rows rows) {
    const int64_t at = first * rows.width;
    kernels::gated_residual_backward(gates.of(sample), with + at, down + at, sums + task * rows.width,
                                     to + at, rows);
  });
  return {gradient, tasks.sum(to_gate), to_branch};
}

Normed norm_on_cpu(const Addition& addition, const Earlier&, const at::Tensor& shift, const at::Tensor& scale,
                   at::ScalarType) {
  const at::Tensor& x = addition.x;
  const bool adds = addition.branch.defined();
  const Tasks tasks(x);
  const Normed result{.sum = adds ? at::empty_like(x) : x,
                      .out = at::empty_like(x),
                      .mean = at::empty({tasks.batch * tasks.tokens}, x.options()),
                      .rstd = at::empty({tasks.batch * tasks.tokens}, x.options())};
  const PerSample shifts(shift), scales(scale), gates(addition.gate);
  const auto *from = read(x), *with = read(addition.branch);
  const auto* seen = read(result.sum);
  auto *sum = adds ? write(result.sum) : nullptr, *to = write(result.out), *means = write(result.mean),
       *rstds = write(result.rstd);
  tasks.run([&](int64_t, int64_t sample, int64_t first, kernels::Rows rows) {
    const int64_t at = first * rows.width;
    if (adds) add_rows(from + at, gates.of(sample), with + at, sum + at, rows);
    kernels::modulated_norm(seen + at, shifts.of(sample), scales.of(sample), kNormEps, to + at, means + first,
                            rstds + first, rows);
  });
  return result;
}

NormGradients norm_backward_on_cpu(const KeptNorm& kept, const NormedGradients& gradients) {
  const at::Tensor to_x = at::empty_like(kept.sum);
  const Tasks tasks(to_x);
  const at::Tensor to_shift = tasks.parts(to_x), to_scale = at::empty_like(to_shift);
  const PerSample scales(kept.scale);
  const auto *from = read(kept.sum), *means = read(kept.mean), *rstds = read(kept.rstd),
             *down = read(gradients.out), *more = read(gradients.sum);
  auto *to = write(to_x), *shift_sums = write(to_shift), *scale_sums = write(to_scale);
  tasks.run([&](int64_t task, int64_t sample, int64_t first, kernels::Rows rows) {
    const int64_t at = first * rows.width, sums = task * rows.width;
    kernels::modulated_norm_backward(from + at, means + first, rstds + first, scales.of(sample), down + at,
                                     to + at, shift_sums + sums, scale_sums + sums, rows);
    if (more != nullptr) kernels::sum_of(to + at, more + at, to + at, rows);
  });
  NormGradients result{.addition = {.x = to_x, .gate = {}, .branch = {}},
                       .shift = tasks.sum(to_shift),
                       .scale = tasks.sum(to_scale)};
  if (kept.addition.has_branch) result.addition = add_backward_on_cpu(kept.addition, {to_x, {}});
  return result;
}

}  // namespace

const Passes kCpuPasses = {.bias_gelu = bias_gelu_on_cpu,
                           .bias_gelu_backward = bias_gelu_backward_on_cpu,
                           .add = add_on_cpu,
                           .add_backward = add_backward_on_cpu,
                           .norm = norm_on_cpu,
                           .norm_backward = norm_backward_on_cpu};

}  // namespace pixart::nn
