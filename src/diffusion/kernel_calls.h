// The kernels of kernels/, called with tensors. All tensors are on a device that has_kernels().
#pragma once
#include "kernels/loss.h"
#include "pixart/diffusion/loss.h"
#include "pixart/diffusion/noising.h"

namespace pixart::diffusion {

// levels [3 or more, K] float32: alpha, sigma, the model's timestep.
NoisyLatents noised_by_kernel(const at::Tensor& levels, const LatentMoments& latents, const DrawnNoise& drawn,
                              const at::Tensor& t);

// What kernels::LossSetting needs besides the sizes. The rows of its tables must live until the gradient is computed:
// `owners` holds them.
struct KernelLoss {
  kernels::Compared compared = kernels::Compared::kNoise;
  kernels::Bound bound = kernels::Bound::kNone;
  bool predicts_noise = true, learns_variance = false;
  double bound_scale = 1;
  kernels::LossTables tables = {};
  std::vector<at::Tensor> owners = {};
};
KernelLoss kernel_loss_of(const LossTables& tables, const LossConfig& config);

// As iddpm_loss(), of which only `loss` has a gradient. `output` [B, C or 2C, H, W] float32 or bfloat16; channels that the
// loss does not use get a gradient of 0.
LossTerms loss_by_kernel(const KernelLoss& loss, const at::Tensor& output, const NoisyLatents& noisy,
                         const at::Tensor& t);
// True if loss_by_kernel() takes these.
bool takes_output(const at::Tensor& output, const at::Tensor& x_start);

}  // namespace pixart::diffusion
