// The only thing that the diffusion mathematics knows of a model.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace pixart::diffusion {

// latent [B, C, H, W], timestep [B] float32 (may be fractional) -> [B, C or 2C, H, W]: noise prediction
// first, then, with learned variance, the variance parameter. The condition is bound into the function.
using Denoiser = std::function<at::Tensor(const at::Tensor& latent, const at::Tensor& timestep)>;

// The whole answer with one timestep for all samples, and its noise prediction alone [B, C, H, W].
at::Tensor evaluate(const Denoiser& denoiser, const at::Tensor& latent, double timestep);
at::Tensor predict_noise(const Denoiser& denoiser, const at::Tensor& latent, double timestep);

// Classifier-free guidance: in the first `guided_channels` channels of the noise prediction
// null + scale * (conditional - null); the other channels, and the variance, are the conditional ones.
// `pair` evaluates both in one call: its input is [2B] (conditional half first), likewise its output.
// With scale 1 `pair` is not what should be called: pass the conditional denoiser instead.
Denoiser guide(Denoiser pair, double scale, int64_t guided_channels);

}  // namespace pixart::diffusion
