#include "pixart/nn/conv.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "fused_ops.h"
#include "kernels/group_norm_cpu.h"
#include "pixart/base/error.h"

namespace pixart::nn {

namespace {

constexpr int64_t kTaskPositions =
    256;  // positions; fixed, so that sums do not depend on the number of threads

// Scale and shift of each channel of one image [P, C], so that x * scale + shift is its group norm.
struct ChannelScales {
  std::vector<float> scale, shift;

  ChannelScales(const float* image, int64_t positions, const GroupNorm& norm) {
    const int64_t channels = norm.weight.numel(), tasks = (positions + kTaskPositions - 1) / kTaskPositions;
    scale.resize(size_t(channels)), shift.resize(size_t(channels));
    std::vector<double> sums(size_t(2 * tasks * channels));
    at::parallel_for(0, tasks, 1, [&](int64_t begin, int64_t end) {
      for (int64_t task = begin; task < end; ++task) {
        double* const own = sums.data() + 2 * task * channels;
        const int64_t first = task * kTaskPositions;
        kernels::channel_sums(image + first * channels, image, own, own + channels,
                              {.count = std::min(kTaskPositions, positions - first), .width = channels});
      }
    });
    for (int64_t task = 1; task < tasks; ++task)
      for (int64_t i = 0; i < 2 * channels; ++i) sums[size_t(i)] += sums[size_t(2 * task * channels + i)];
    const int64_t of_group = channels / norm.num_groups;
    for (int64_t first = 0; first < channels; first += of_group)
      set_group(image, sums.data(), first, of_group, double(positions), norm);
  }

 private:
  // The mean of a channel is image[c] (its origin) + sums[c] / positions.
  void set_group(const float* image, const double* sums, int64_t first, int64_t count, double positions,
                 const GroupNorm& norm) {
    const int64_t channels = norm.weight.numel();
    double mean = 0, variance = 0;
    for (int64_t c = first; c < first + count; ++c) mean += image[c] + sums[c] / positions;
    mean /= double(count);
    for (int64_t c = first; c < first + count; ++c) {
      const double own = sums[c] / positions, apart = image[c] + own - mean;
      variance += sums[channels + c] / positions - own * own + apart * apart;
    }
    const double inverse = 1 / std::sqrt(std::max(variance / double(count), 0.0) + norm.eps);
    const auto *weight = norm.weight.const_data_ptr<float>(), *bias = norm.bias.const_data_ptr<float>();
    for (int64_t c = first; c < first + count; ++c) {
      scale[size_t(c)] = float(weight[c] * inverse);
      shift[size_t(c)] = float(bias[c] - mean * inverse * weight[c]);
    }
  }
};

// x [B, C, H, W] with its channels last, without gradients.
at::Tensor normalized(const at::Tensor& x, const GroupNorm& norm, bool with_silu) {
  const int64_t channels = x.size(1), positions = x.size(2) * x.size(3);
  PIXART_CHECK(channels == norm.weight.numel(), "{} channels, norm of {}", channels, norm.weight.numel());
  const at::Tensor out = at::empty_like(x);
  for (int64_t b = 0; b < x.size(0); ++b) {
    const float* const from = x.const_data_ptr<float>() + b * positions * channels;
    float* const to = out.mutable_data_ptr<float>() + b * positions * channels;
    const ChannelScales scales(from, positions, norm);
    const auto apply = with_silu ? kernels::scale_channels_silu : kernels::scale_channels;
    at::parallel_for(
        0, (positions + kTaskPositions - 1) / kTaskPositions, 1, [&](int64_t begin, int64_t end) {
          const int64_t first = begin * kTaskPositions, last = std::min(end * kTaskPositions, positions);
          apply(from + first * channels, scales.scale.data(), scales.shift.data(), to + first * channels,
                {.count = last - first, .width = channels});
        });
  }
  return out;
}

bool has_fused_norm(const at::Tensor& x, const GroupNorm& norm) {
  return has_fused_form(x) && x.dim() == 4 && x.size(2) * x.size(3) > 0 &&
         x.is_contiguous(at::MemoryFormat::ChannelsLast) && norm.weight.scalar_type() == at::kFloat &&
         !needs_gradient({x, norm.weight, norm.bias});
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
  return has_fused_norm(x, *this) ? normalized(x, *this, false)
                                  : at::group_norm(x, num_groups, weight, bias, eps);
}

at::Tensor GroupNorm::then_silu(const at::Tensor& x) const {
  if (has_fused_norm(x, *this)) return normalized(x, *this, true);
  at::Tensor normed = at::group_norm(x, num_groups, weight, bias, eps);
  // Without gradients the activation is computed in place; it would need 512 MB for an image of 1024 pixels.
  return normed.requires_grad() ? at::silu(normed) : at::silu_(normed);
}

}  // namespace pixart::nn
