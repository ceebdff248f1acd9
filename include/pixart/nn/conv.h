// Layers of the autoencoder: plain structs of tensors that register their tensors under the published names.
// B batch, C channels.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "pixart/nn/state_dict.h"

namespace pixart::nn {

struct ConvShape {
  int64_t in = 0, out = 0;
  int64_t kernel = 3, stride = 1, padding = 1;
  bool bias = true;
};

// Square convolution: [B, in, H, W] -> [B, out, H', W'].
struct Conv2d {
  at::Tensor weight, bias;  // [out, in, kernel, kernel], [out]; an undefined bias: none
  int64_t stride = 1, padding = 1;
  Conv2d() = default;
  Conv2d(const Scope& scope, const ConvShape& shape);
  at::Tensor operator()(const at::Tensor& x) const;
};

// Normalises over all positions and each group of C / num_groups neighbouring channels, then scales and
// shifts each channel. [B, C, ...] -> the same shape. On the CPU in float32 with the channels last, it passes over
// memory twice, with the SiLU or without; otherwise it calls LibTorch's operations.
struct GroupNorm {
  at::Tensor weight, bias;  // [C], [C]
  int64_t num_groups = 1;
  double eps = 1e-6;
  GroupNorm() = default;
  GroupNorm(const Scope& scope, int64_t channels, int64_t num_groups, double eps = 1e-6);
  at::Tensor operator()(const at::Tensor& x) const;
  at::Tensor then_silu(const at::Tensor& x) const;
};

}  // namespace pixart::nn
