// What a model's prediction says about the two parts of a latent = alpha x_0 + sigma noise.
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/diffusion/noise_schedule.h"

namespace pixart::diffusion {

// x_0 [B, C, H, W]. kEpsilon divides by alpha, which must not be 0. alpha and sigma: one number each, or one for each
// sample [B, 1, 1, 1].
template <class Factor>  // double or at::Tensor
at::Tensor xstart_from(Prediction prediction, const at::Tensor& output, const at::Tensor& latent,
                       const Factor& alpha, const Factor& sigma);

// The noise. kXStart divides by sigma.
template <class Factor>
at::Tensor noise_from(Prediction prediction, const at::Tensor& output, const at::Tensor& latent,
                      const Factor& alpha, const Factor& sigma);

}  // namespace pixart::diffusion
