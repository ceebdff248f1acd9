// Layers of the autoencoder. Pictures are [B, C, H, W].
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/nn/state_dict.h"

namespace pixart::nn {

struct Conv2d {
  at::Tensor weight, bias;  // [out, in, k, k], [out]
  int64_t stride = 1, padding = 0;
  Conv2d() = default;
  // Padding keeps the side for odd k and stride 1 unless `padding` says otherwise.
  Conv2d(const Scope& scope, int64_t in, int64_t out, int64_t kernel, int64_t stride = 1,
         int64_t padding = -1);
  at::Tensor operator()(const at::Tensor& x) const;
};

struct GroupNorm {
  at::Tensor weight, bias;  // [C]
  int64_t groups = 1;
  GroupNorm() = default;
  GroupNorm(const Scope& scope, int64_t groups, int64_t channels);
  at::Tensor operator()(const at::Tensor& x) const;  // eps 1e-6
};

}  // namespace pixart::nn
