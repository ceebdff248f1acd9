// Group norm of images whose channels are last, in float32, in the calling thread. Plain pointers, no LibTorch.
#pragma once
#include <cstdint>

#include "fused_cpu.h"

namespace pixart::nn::kernels {

// Sums of x - origin over rows, and of its square, for each channel; origin [width] is near the values, so that
// the squares lose no digits. Writes both.
void channel_sums(const float* x, const float* origin, double* sums, double* squares, Rows rows);

// out = x * scale + shift, or the SiLU of it; scale, shift [width].
void scale_channels(const float* x, const float* scale, const float* shift, float* out, Rows rows);
void scale_channels_silu(const float* x, const float* scale, const float* shift, float* out, Rows rows);

}  // namespace pixart::nn::kernels
