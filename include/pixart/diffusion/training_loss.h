// The loss of a training stage, for any DiffusionConfig.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>

#include "pixart/diffusion/denoiser.h"
#include "pixart/diffusion/diffusion_config.h"
#include "pixart/diffusion/loss.h"
#include "pixart/diffusion/noising.h"

namespace pixart::diffusion {

// [B]: the published loss of `model` (epsilon with learned variance). x_start, noise [B, C, H, W]; t [B] int64,
// an index of the schedule.
at::Tensor published_losses(const LossTables& tables, const Denoiser& model, const at::Tensor& x_start,
                            const at::Tensor& noise, const at::Tensor& t);

struct KernelLoss;  // kernel_calls.h

class TrainingLoss {
 public:
  TrainingLoss(LossTables tables);  // NOLINT: the published loss, with no other setting
  TrainingLoss(const DiffusionConfig& config, at::Device device);

  int64_t num_steps() const { return levels_.size(1); }
  // The noisy latent and the timestep that the model gets, as in published_losses().
  at::Tensor noisy(const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t) const;
  at::Tensor model_timestep(const at::Tensor& t) const { return level(kTimestep, t); }

  // The noisy latents of a batch, and what they are made of; t [B] int64.
  NoisyLatents noised(const LatentMoments& latents, const DrawnNoise& drawn, const at::Tensor& t) const;

  // [B]. kEpsilon and kXStart: weight * mse + bound (see loss.h); kV and kFlow: weight * mse of the first C
  // channels.
  at::Tensor losses(const Denoiser& model, const at::Tensor& x_start, const at::Tensor& noise,
                    const at::Tensor& t) const;
  at::Tensor losses(const Denoiser& model, const NoisyLatents& noisy, const at::Tensor& t) const;
  // The same without the weighting.
  at::Tensor unweighted_losses(const Denoiser& model, const at::Tensor& x_start, const at::Tensor& noise,
                               const at::Tensor& t) const;
  at::Tensor unweighted_losses(const Denoiser& model, const NoisyLatents& noisy, const at::Tensor& t) const;

 private:
  enum Level { kAlpha, kSigma, kTimestep, kWeight };
  at::Tensor level(Level which, const at::Tensor& t) const;  // [B]
  NoisyLatents noisy_latents(const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t) const;
  at::Tensor losses(const LossConfig& loss, bool weighted, const Denoiser& model, const NoisyLatents& noisy,
                    const at::Tensor& t) const;
  KernelLoss kernel_loss(const LossConfig& loss, bool weighted) const;
  at::Tensor of_prediction(const at::Tensor& model_output, const NoisyLatents& noisy,
                           const at::Tensor& t) const;

  DiffusionConfig config_;
  LossConfig loss_;
  std::optional<LossTables> tables_;  // of a schedule of betas
  at::Tensor levels_;                 // [4, K] float32
};

}  // namespace pixart::diffusion
