// The objectives of run files (objective_table.h).
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "pixart/diffusion/denoiser.h"
#include "pixart/diffusion/loss.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"
#include "pixart/train/components.h"
#include "pixart/train/objective.h"

namespace pixart::train {

// Random inputs of the diffusion loss. Each number is a function of (seed, global sample id, purpose) alone.
struct DiffusionDraw {
  at::Tensor noise;      // [B, C, h, w] float32
  at::Tensor posterior;  // [B, C, h, w] float32: for the draw from the autoencoder's moments
  at::Tensor t;          // [B] int64, uniform over num_steps
  at::Tensor drop;       // [B] int64: 1 = condition dropped
};
DiffusionDraw draw_diffusion_inputs(uint64_t seed, const std::vector<int64_t>& positions,
                                    at::IntArrayRef latent_shape, int64_t num_steps,
                                    double condition_dropout);

// The inputs of one held-out sample, as a batch of kHeldOutTimesteps: nothing is dropped, and the latent is
// the mean.
DiffusionDraw held_out_inputs(uint64_t seed, int64_t row, at::IntArrayRef latent_shape, int64_t num_steps);

// What is drawn for a micro-batch.
using DrawInputs = std::function<DiffusionDraw(const Batch& batch)>;

// draw_diffusion_inputs() of the micro-batch's positions, as training draws.
DrawInputs draws_by_sample(uint64_t seed, int64_t num_steps, double condition_dropout);

// What the diffusion objective needs besides the model.
struct DiffusionSetting {
  const LatentCodec* codec;
  diffusion::LossTables tables;
  uint64_t seed;    // of held-out samples
  DrawInputs draw;  // of samples that are trained on
  at::Device device;
};

// Stages 1 to 3: class or caption -> image, the IDDPM loss of the latent's noise.
class DiffusionObjective : public Objective {
 public:
  DiffusionObjective(const models::Transformer& model, DiffusionSetting setting)
      : model_(model), setting_(std::move(setting)) {}
  at::Tensor loss(const Batch& batch) override;
  at::Tensor held_out_losses(const Batch& sample) override;

 private:
  at::Tensor losses(const Batch& batch, const DiffusionDraw& draw) const;
  const models::Transformer& model_;
  DiffusionSetting setting_;
};

// The autoencoder: L1 + MSE of the reconstruction + kl_weight * KL to N(0, 1) (mean over latent numbers).
class AutoencoderObjective : public Objective {
 public:
  AutoencoderObjective(const models::AutoencoderKl& model, uint64_t seed, double kl_weight, at::Device device)
      : model_(model), seed_(seed), kl_weight_(kl_weight), device_(device) {}
  at::Tensor loss(const Batch& batch) override;
  at::Tensor held_out_losses(const Batch& sample) override;

 private:
  at::Tensor loss_of(const at::Tensor& image, const models::Moments& moments, const at::Tensor& noise) const;
  const models::AutoencoderKl& model_;
  uint64_t seed_;
  double kl_weight_;
  at::Device device_;
};

// [B]: the released IDDPM loss of a model output computed by `model` (noisy latent, timestep); and its mean.
at::Tensor diffusion_losses(const diffusion::LossTables& tables, const diffusion::Denoiser& model,
                            const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t);
at::Tensor diffusion_loss(const diffusion::LossTables& tables, const diffusion::Denoiser& model,
                          const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t);

}  // namespace pixart::train
