#include "pixart/nn/conv.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "fused_ops.h"
#include "kernels/group_norm_cpu.h"

namespace pixart::nn {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kTaskPositions =
    256;  // positions; fixed, so that sums do not depend on the number of threads

// What makes the group norm of each image from x: x * scale + shift of each channel; and mean and 1 / deviation of
// each group, which the backward pass needs.
struct Scales {
  at::Tensor scale, shift;  // [B, C]
  at::Tensor mean, rstd;    // [B, G]
};

struct Shape {
  int64_t batch, channels, positions;
  explicit Shape(const at::Tensor& x)
      : batch(x.size(0)), channels(x.size(1)), positions(x.size(2) * x.size(3)) {}
  int64_t tasks() const { return (positions + kTaskPositions - 1) / kTaskPositions; }

  // work(task, its first position, its rows) for all positions of an image.
  template <class Work>
  void run(Work work) const {
    at::parallel_for(0, tasks(), 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        const int64_t first = task * kTaskPositions;
        work(task, first,
             kernels::Rows{.count = std::min(kTaskPositions, positions - first), .width = channels});
      }
    });
  }
};

// Of each channel of an image: the sum of x - (x at the first position), then that of the squares.
std::vector<double> sums_of(const float* image, const Shape& shape) {
  const int64_t channels = shape.channels;
  std::vector<double> sums(size_t(2 * shape.tasks() * channels));
  shape.run([&](int64_t task, int64_t first, kernels::Rows rows) {
    double* const own = sums.data() + 2 * task * channels;
    kernels::channel_sums(image + first * channels, image, own, own + channels, rows);
  });
  for (int64_t task = 1; task < shape.tasks(); ++task)
    for (int64_t i = 0; i < 2 * channels; ++i) sums[size_t(i)] += sums[size_t(2 * task * channels + i)];
  return sums;
}

Scales scales_of(const at::Tensor& x, const GroupNorm& norm) {
  const Shape shape(x);
  const int64_t channels = shape.channels, of_group = channels / norm.num_groups;
  const auto options = x.options().memory_format(at::MemoryFormat::Contiguous);
  Scales scales{at::empty({shape.batch, channels}, options), at::empty({shape.batch, channels}, options),
                at::empty({shape.batch, norm.num_groups}, options),
                at::empty({shape.batch, norm.num_groups}, options)};
  auto *scale = scales.scale.mutable_data_ptr<float>(), *shift = scales.shift.mutable_data_ptr<float>(),
       *means = scales.mean.mutable_data_ptr<float>(), *rstds = scales.rstd.mutable_data_ptr<float>();
  const auto *weight = norm.weight.const_data_ptr<float>(), *bias = norm.bias.const_data_ptr<float>();
  for (int64_t b = 0; b < shape.batch; ++b, scale += channels, shift += channels) {
    const float* const image = x.const_data_ptr<float>() + b * shape.positions * channels;
    const auto sums = sums_of(image, shape);
    const auto mean_of = [&](int64_t c) { return sums[size_t(c)] / double(shape.positions); };
    for (int64_t first = 0; first < channels; first += of_group) {
      double mean = 0, variance = 0;
      for (int64_t c = first; c < first + of_group; ++c) mean += image[c] + mean_of(c);
      mean /= double(of_group);
      for (int64_t c = first; c < first + of_group; ++c) {
        const double own = mean_of(c), apart = image[c] + own - mean;
        variance += sums[size_t(channels + c)] / double(shape.positions) - own * own + apart * apart;
      }
      const double rstd = 1 / std::sqrt(std::max(variance / double(of_group), 0.0) + norm.eps);
      for (int64_t c = first; c < first + of_group; ++c) {
        scale[c] = float(weight[c] * rstd);
        shift[c] = float(bias[c] - mean * rstd * weight[c]);
      }
      *means++ = float(mean), *rstds++ = float(rstd);
    }
  }
  return scales;
}

at::Tensor scaled(const at::Tensor& x, const Scales& scales, bool with_silu) {
  const Shape shape(x);
  const at::Tensor out = at::empty_like(x);
  const auto apply = with_silu ? kernels::scale_channels_silu : kernels::scale_channels;
  for (int64_t b = 0; b < shape.batch; ++b) {
    const int64_t at = b * shape.positions * shape.channels;
    const float *const from = x.const_data_ptr<float>() + at,
                       *const scale = scales.scale.const_data_ptr<float>() + b * shape.channels,
                       *const shift = scales.shift.const_data_ptr<float>() + b * shape.channels;
    float* const to = out.mutable_data_ptr<float>() + at;
    shape.run([&](int64_t, int64_t first, kernels::Rows rows) {
      apply(from + first * rows.width, scale, shift, to + first * rows.width, rows);
    });
  }
  return out;
}

struct NormThenSilu : torch::autograd::Function<NormThenSilu> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& weight,
                            const at::Tensor& bias, const GroupNorm& norm, bool with_silu) {
    const Scales scales = scales_of(x, norm);
    context->save_for_backward({x, weight, bias, scales.scale, scales.shift, scales.mean, scales.rstd});
    context->saved_data["with_silu"] = with_silu;
    return scaled(x, scales, with_silu);
  }

  // The normed values are computed again: they would be as large as x.
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &mean = saved[5], &rstd = saved[6];
    const Shape shape(x);
    at::Tensor gradient = gradients[0].contiguous(at::MemoryFormat::ChannelsLast);
    if (context->saved_data["with_silu"].toBool())
      gradient = at::silu_backward(gradient, scaled(x, {saved[3], saved[4], mean, rstd}, false));
    const auto [to_x, to_weight, to_bias] =
        at::native_group_norm_backward(gradient, x, mean, rstd, saved[1], shape.batch, shape.channels,
                                       shape.positions, mean.size(1), {true, true, true});
    return {to_x, to_weight, to_bias, at::Tensor(), at::Tensor()};
  }
};

bool has_fused_norm(const at::Tensor& x, const GroupNorm& norm) {
  return x.is_cpu() && has_fused_form(x) && x.dim() == 4 && x.numel() > 0 &&
         x.size(1) == norm.weight.numel() && x.is_contiguous(at::MemoryFormat::ChannelsLast) &&
         norm.weight.scalar_type() == at::kFloat;
}

at::Tensor fused(const at::Tensor& x, const GroupNorm& norm, bool with_silu) {
  return needs_gradient({x, norm.weight, norm.bias})
             ? NormThenSilu::apply(x, norm.weight, norm.bias, norm, with_silu)
             : scaled(x, scales_of(x, norm), with_silu);
}

}  // namespace

Conv2d::Conv2d(const Scope& scope, const ConvShape& shape)
    : weight(scope.parameter("weight", {shape.out, shape.in, shape.kernel, shape.kernel})),
      bias(shape.bias ? scope.parameter("bias", {shape.out}) : at::Tensor()),
      stride(shape.stride),
      padding(shape.padding) {}

at::Tensor Conv2d::operator()(const at::Tensor& x) const {
  return at::conv2d(x, weight, bias, {stride, stride}, {padding, padding});
}

GroupNorm::GroupNorm(const Scope& scope, int64_t channels, int64_t groups, double epsilon)
    : weight(scope.parameter("weight", {channels})),
      bias(scope.parameter("bias", {channels})),
      num_groups(groups),
      eps(epsilon) {}

at::Tensor GroupNorm::operator()(const at::Tensor& x) const {
  return has_fused_norm(x, *this) ? fused(x, *this, false) : at::group_norm(x, num_groups, weight, bias, eps);
}

at::Tensor GroupNorm::then_silu(const at::Tensor& x) const {
  if (has_fused_norm(x, *this)) return fused(x, *this, true);
  at::Tensor normed = at::group_norm(x, num_groups, weight, bias, eps);
  // Without gradients the activation is computed in place; it would need 512 MB for an image of 1024 pixels.
  return normed.requires_grad() ? at::silu(normed) : at::silu_(normed);
}

}  // namespace pixart::nn
