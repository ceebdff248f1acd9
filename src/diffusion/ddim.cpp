#include <ATen/ATen.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/diffusion/samplers.h"

namespace pixart::diffusion {

at::Tensor sample_ddim(const Denoiser& denoiser, const NoiseSchedule& respaced, at::Tensor latent,
                       const DdimOptions& options) {
  PIXART_CHECK(options.eta == 0 || options.noise, "DDIM with eta {} and no noise", options.eta);
  const int64_t num_steps = respaced.num_steps();
  for (int64_t step = 0; step < num_steps; ++step) {
    const auto i = size_t(num_steps - 1 - step);
    const double product = respaced.alphas_cumprod[i], product_prev = respaced.alphas_cumprod_prev[i];
    const double deviation =
        options.eta * std::sqrt((1 - product_prev) / (1 - product)) * std::sqrt(1 - product / product_prev);
    const at::Tensor noise = predict_noise(denoiser, latent, double(respaced.timestep_map[i]));
    const at::Tensor xstart =
        respaced.sqrt_recip_alphas_cumprod[i] * latent - respaced.sqrt_recipm1_alphas_cumprod[i] * noise;
    latent = std::sqrt(product_prev) * xstart + std::sqrt(1 - product_prev - deviation * deviation) * noise;
    if (deviation > 0) latent = latent + deviation * options.noise(step);
    if (options.callback) options.callback(step + 1, latent);
  }
  return latent;
}

}  // namespace pixart::diffusion
