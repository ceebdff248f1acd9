#include <ATen/ATen.h>

#include "estimate.h"
#include "pixart/base/error.h"
#include "pixart/diffusion/consistency.h"
#include "pixart/diffusion/samplers.h"

namespace pixart::diffusion {

namespace {

// Every (origin_steps / num_steps)-th timestep of the teacher, beginning with the noisiest.
std::vector<int64_t> lcm_timesteps(int64_t train_steps, const LcmOptions& options) {
  const auto [num_steps, origin_steps] = std::pair(options.num_steps, options.origin_steps);
  if (origin_steps < 1 || origin_steps > train_steps) {
    throw UserError(fmt::format("LCM uses steps from {} of {} training steps; set 1 to {}.", origin_steps,
                                train_steps, train_steps));
  }
  if (num_steps < 1 || num_steps > origin_steps) {
    throw UserError(fmt::format("{} LCM steps; write 1 to {}.", num_steps, origin_steps));
  }
  const int64_t stride = train_steps / origin_steps, skip = origin_steps / num_steps;
  std::vector<int64_t> timesteps;
  for (int64_t k = 0; k < num_steps; ++k) timesteps.push_back((origin_steps - k * skip) * stride - 1);
  return timesteps;
}

}  // namespace

at::Tensor sample_lcm(const Denoiser& denoiser, const NoiseSchedule& full, at::Tensor latent,
                      const LcmOptions& options) {
  PIXART_CHECK(full.num_steps() == full.num_train_steps, "LCM on a respaced schedule");
  const auto timesteps = lcm_timesteps(full.num_train_steps, options);
  for (int64_t k = 0; k < options.num_steps; ++k) {
    const auto t = size_t(timesteps[size_t(k)]);
    const auto scalings = boundary_scalings(double(t));
    const at::Tensor xstart = xstart_from(full.prediction, predict(denoiser, latent, double(t)), latent,
                                          full.sqrt_alphas_cumprod[t], full.sqrt_one_minus_alphas_cumprod[t]);
    const at::Tensor denoised = scalings.out * xstart + scalings.skip * latent;
    if (options.denoised) options.denoised(k + 1, denoised);
    latent = denoised;
    if (k + 1 < options.num_steps) {
      const auto next = size_t(timesteps[size_t(k + 1)]);
      latent = full.sqrt_alphas_cumprod[next] * denoised +
               full.sqrt_one_minus_alphas_cumprod[next] * options.noise(k);
    }
    if (options.callback) options.callback(k + 1, latent);
  }
  return latent;
}

}  // namespace pixart::diffusion
