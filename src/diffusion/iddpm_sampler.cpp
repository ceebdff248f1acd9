#include <ATen/ATen.h>

#include "pixart/diffusion/samplers.h"

namespace pixart::diffusion {

at::Tensor sample_iddpm(const Denoiser& denoiser, const NoiseSchedule& respaced, const LossConfig& config,
                        at::Tensor latent, const NoiseSource& noise, const StepCallback& callback) {
  const LossTables tables(respaced, latent.device());
  const int64_t num_steps = respaced.num_steps();
  for (int64_t step = 0; step < num_steps; ++step) {
    const int64_t i = num_steps - 1 - step;
    const at::Tensor t = at::full({latent.size(0)}, i, latent.options().dtype(at::kLong));
    const at::Tensor output = evaluate(denoiser, latent, double(respaced.timestep_map[size_t(i)]));
    const MeanAndVariance p = p_mean_variance(tables, config, output, latent, t);
    latent = i > 0 ? p.mean + at::exp(0.5 * p.log_variance) * noise(step) : p.mean;
    if (callback) callback(step + 1, latent);
  }
  return latent;
}

}  // namespace pixart::diffusion
