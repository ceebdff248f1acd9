// The three objectives of a run file.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "pixart/diffusion/denoiser.h"
#include "pixart/diffusion/loss.h"
#include "pixart/models/dit.h"
#include "pixart/models/pixart.h"
#include "pixart/models/vae.h"
#include "pixart/train/features.h"
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

// What both diffusion objectives need.
struct DiffusionData {
  LatentFeatures latents;
  const LatentCodec* codec;
  diffusion::LossTables tables;
  uint64_t seed;
  double condition_dropout;
  at::Device device;
};

// Stage 1: class -> picture, DiT. `labels` has one class per sample of the data set.
class ClassConditionalObjective : public Objective {
 public:
  ClassConditionalObjective(const models::Dit& model, DiffusionData data, std::vector<int64_t> labels)
      : model_(model), data_(std::move(data)), labels_(std::move(labels)) {}
  int64_t num_samples() const override { return data_.latents.mean.size(0); }
  at::Tensor loss(const MicroBatch& batch) override;

 private:
  const models::Dit& model_;
  DiffusionData data_;
  std::vector<int64_t> labels_;
};

// Stages 2 and 3: caption -> picture, PixArt.
class TextConditionalObjective : public Objective {
 public:
  TextConditionalObjective(const models::PixArt& model, DiffusionData data, CaptionFeatures captions)
      : model_(model), data_(std::move(data)), captions_(std::move(captions)) {}
  int64_t num_samples() const override { return data_.latents.mean.size(0); }
  at::Tensor loss(const MicroBatch& batch) override;

 private:
  const models::PixArt& model_;
  DiffusionData data_;
  CaptionFeatures captions_;
};

// The autoencoder: L1 + MSE of the reconstruction + kl_weight * KL to N(0, 1) (mean over latent numbers).
class AutoencoderObjective : public Objective {
 public:
  AutoencoderObjective(const models::AutoencoderKl& model, const PictureSource& pictures, uint64_t seed,
                       double kl_weight, at::Device device)
      : model_(model), pictures_(pictures), seed_(seed), kl_weight_(kl_weight), device_(device) {}
  int64_t num_samples() const override { return pictures_.size(); }
  at::Tensor loss(const MicroBatch& batch) override;

 private:
  const models::AutoencoderKl& model_;
  const PictureSource& pictures_;
  uint64_t seed_;
  double kl_weight_;
  at::Device device_;
};

// Mean over the batch of the released IDDPM loss, of a model output computed by `model` (noisy latent,
// timestep).
at::Tensor diffusion_loss(const diffusion::LossTables& tables, const diffusion::Denoiser& model,
                          const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t);

}  // namespace pixart::train
