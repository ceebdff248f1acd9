// The function type of a model, which is all that the diffusion mathematics knows about it.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace pixart::diffusion {

// latent [B, C, H, W], timestep [B] float32 (may be fractional) -> [B, C or 2C, H, W]: the prediction (see
// Prediction in noise_schedule.h), then, with learned variance, the variance parameter. The function already
// has its condition.
using Denoiser = std::function<at::Tensor(const at::Tensor& latent, const at::Tensor& timestep)>;

// The whole output with one timestep for all samples, expanded to [B], and only its prediction [B, C, H, W].
at::Tensor evaluate(const Denoiser& denoiser, const at::Tensor& latent, double timestep);
at::Tensor predict(const Denoiser& denoiser, const at::Tensor& latent, double timestep);

// Classifier-free guidance: the first `guided_channels` channels of the prediction become null + scale
// * (conditional - null); the other channels and the variance are the conditional ones. `pair` evaluates both
// in one call: its input is [B], its output [2B], conditional half first. With scale 1, use the conditional
// denoiser.
Denoiser guide(Denoiser pair, double scale, int64_t guided_channels);

}  // namespace pixart::diffusion
