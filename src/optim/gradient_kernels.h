// kernels/gradients.h and average_cuda(), called with tensors on a device that is kernels_usable().
#pragma once
#include <ATen/core/Tensor.h>

#include "kernels/gradients.h"

namespace pixart::optim {

void gather_gradients(at::Tensor& flat, const kernels::GradientPieces& pieces, const at::Tensor& partials);
// ema (may be undefined) <- decay * ema + (1 - decay) * values, and `rounded` (may be undefined) <- values in bfloat16.
void average_and_round(const at::Tensor& ema, const at::Tensor& rounded, const at::Tensor& values,
                       double decay);
// [2] float64, in `into` if it is defined: `loss` or 0, and the sum of partials.
at::Tensor totals_of(const at::Tensor& loss, const at::Tensor& partials, const at::Tensor& into);

}  // namespace pixart::optim
