#include "pixart/diffusion/denoiser.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"

namespace pixart::diffusion {

at::Tensor evaluate(const Denoiser& denoiser, const at::Tensor& latent, double timestep) {
  return denoiser(latent, at::full({1}, timestep, latent.options().dtype(at::kFloat)).expand(latent.size(0)));
}

at::Tensor predict(const Denoiser& denoiser, const at::Tensor& latent, double timestep) {
  return evaluate(denoiser, latent, timestep).narrow(1, 0, latent.size(1));
}

Denoiser guide(Denoiser pair, double scale, int64_t guided_channels) {
  PIXART_CHECK(guided_channels > 0, "{} guided channels", guided_channels);
  return [pair = std::move(pair), scale, guided_channels](const at::Tensor& latent,
                                                          const at::Tensor& timestep) {
    const at::Tensor output = pair(latent, timestep);
    const int64_t batch = latent.size(0), others = output.size(1) - guided_channels;
    PIXART_CHECK(output.size(0) == 2 * batch, "a guided call of {} gave {} outputs", 2 * batch,
                 output.size(0));
    PIXART_CHECK(guided_channels <= latent.size(1), "{} guided channels of {}", guided_channels,
                 latent.size(1));
    const at::Tensor conditional = output.narrow(0, 0, batch);
    const at::Tensor with = conditional.narrow(1, 0, guided_channels);
    const at::Tensor without = output.narrow(0, batch, batch).narrow(1, 0, guided_channels);
    return at::cat({without + scale * (with - without), conditional.narrow(1, guided_channels, others)}, 1);
  };
}

}  // namespace pixart::diffusion
