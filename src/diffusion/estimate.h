// What a model's prediction says about the two parts of a latent = alpha x_0 + sigma noise.
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/diffusion/noise_schedule.h"

namespace pixart::diffusion {

// x_0 [B, C, H, W]. kEpsilon divides by alpha, which must not be 0.
at::Tensor xstart_from(Prediction prediction, const at::Tensor& output, const at::Tensor& latent,
                       double alpha, double sigma);

// The noise. kXStart divides by sigma.
at::Tensor noise_from(Prediction prediction, const at::Tensor& output, const at::Tensor& latent, double alpha,
                      double sigma);

}  // namespace pixart::diffusion
