// Shared by DiT and PixArt.
#pragma once
#include <ATen/core/Tensor.h>

namespace pixart::models {

// Guidance of the released code: [2B, O, H, W], conditional half first. The first three channels of both
// halves get null + scale * (conditional - null); the other channels are not changed.
at::Tensor guide_three_channels(const at::Tensor& output, double scale);

}  // namespace pixart::models
