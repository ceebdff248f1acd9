// Shared by DiT and PixArt.
#pragma once
#include <ATen/core/Tensor.h>

namespace pixart::models {

// Guidance of the released code: [2B, O, H, W], conditional half first; null + scale * (conditional - null)
// in the first three channels, for both halves; all other channels pass, each half its own.
at::Tensor guide_three_channels(const at::Tensor& output, double scale);

}  // namespace pixart::models
