#include <ATen/ATen.h>

#include <cmath>

#include "estimate.h"
#include "pixart/base/error.h"
#include "pixart/diffusion/samplers.h"

namespace pixart::diffusion {

namespace {

struct Estimate {
  at::Tensor xstart, noise;
};

// What a prediction at kept step i says. The released code computes x_0 from the noise with these tables.
Estimate estimate_at(const NoiseSchedule& s, size_t i, const at::Tensor& latent, const at::Tensor& output) {
  if (s.prediction == Prediction::kEpsilon)
    return {s.sqrt_recip_alphas_cumprod[i] * latent - s.sqrt_recipm1_alphas_cumprod[i] * output, output};
  const double alpha = s.sqrt_alphas_cumprod[i], sigma = s.sqrt_one_minus_alphas_cumprod[i];
  return {xstart_from(s.prediction, output, latent, alpha, sigma),
          noise_from(s.prediction, output, latent, alpha, sigma)};
}

}  // namespace

at::Tensor sample_ddim(const Denoiser& denoiser, const NoiseSchedule& respaced, at::Tensor latent,
                       const DdimOptions& options) {
  PIXART_CHECK(options.eta == 0 || options.noise, "DDIM with eta {} and no noise", options.eta);
  const int64_t num_steps = respaced.num_steps();
  for (int64_t step = 0; step < num_steps; ++step) {
    const auto i = size_t(num_steps - 1 - step);
    const double product = respaced.alphas_cumprod[i], product_prev = respaced.alphas_cumprod_prev[i];
    const double deviation =
        options.eta * std::sqrt((1 - product_prev) / (1 - product)) * std::sqrt(1 - product / product_prev);
    const auto [xstart, noise] =
        estimate_at(respaced, i, latent, predict(denoiser, latent, double(respaced.timestep_map[i])));
    latent = std::sqrt(product_prev) * xstart + std::sqrt(1 - product_prev - deviation * deviation) * noise;
    if (deviation > 0) latent = latent + deviation * options.noise(step);
    if (options.callback) options.callback(step + 1, latent);
  }
  return latent;
}

}  // namespace pixart::diffusion
