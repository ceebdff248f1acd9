// A convolution and the batch norm after it as one convolution, for networks that are only run.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <cstdint>

#include "pixart/nn/state_dict.h"

namespace pixart::score {

// With stored statistics; registers weight, bias, running_mean and running_var, each [channels].
struct BatchNorm {
  at::Tensor scale, shift, mean, variance;
  BatchNorm(const nn::Scope& scope, int64_t channels);
};

struct FoldedConv {
  at::Tensor weight, bias;  // [out, in, kernel, kernel] channels last, [out]; float32 on the device
};

// Computed in float64: scale * (conv(x) - mean) / sqrt(variance + eps) + shift = conv'(x). `weight` is that of a
// convolution without bias.
FoldedConv folded(const at::Tensor& weight, const BatchNorm& norm, double eps, c10::Device device);

}  // namespace pixart::score
