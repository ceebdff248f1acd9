// The losses of the objectives in objective_table.h.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

#include "pixart/diffusion/denoiser.h"
#include "pixart/diffusion/training_loss.h"
#include "pixart/features/batch_encoder.h"
#include "pixart/features/latent_codec.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"
#include "pixart/train/objective.h"

namespace pixart::train {

// Random inputs of the diffusion loss. Each value depends only on (seed, position, purpose).
struct DiffusionDraw {
  at::Tensor noise;      // [B, C, h, w] float32; undefined: the device draws it and the next one
  at::Tensor posterior;  // [B, C, h, w] float32: noise for sampling from the autoencoder's moments
  at::Tensor t;          // [B] int64, an index of the schedule
  at::Tensor drop;       // [B] int64: 1 = condition dropped
  uint64_t seed = 0;
  at::Tensor positions = {};  // [B] int64, of the noise that the device draws
};
// Timesteps are uniform over num_steps.
DiffusionDraw draw_diffusion_inputs(uint64_t seed, const std::vector<int64_t>& positions,
                                    at::IntArrayRef latent_shape, int64_t num_steps,
                                    double condition_dropout);

// The inputs of one held-out sample, as a batch of kHeldOutTimesteps. No condition is dropped, and the latent
// is the mean of the moments.
DiffusionDraw held_out_inputs(uint64_t seed, int64_t row, at::IntArrayRef latent_shape, int64_t num_steps);

// Who draws the normal numbers of a batch: the host in the loader's threads, or a GPU that runs our kernels
// (diffusion/noising.h), to which then only positions go. numerics: exact has the host's.
enum class NoiseFrom { kHost, kDevice };

// Draws the random inputs of a micro-batch, on the CPU. Several threads call it at a time.
using DrawInputs = std::function<DiffusionDraw(const data::Batch& batch)>;

// Draws for the micro-batch's positions with draw_diffusion_inputs(), as training does.
DrawInputs draws_by_sample(uint64_t seed, int64_t num_steps, double condition_dropout);
// The same with timesteps drawn as `config` says; a step has `batch_size` samples.
DrawInputs draws_by_sample(uint64_t seed, const diffusion::DiffusionConfig& config, int64_t batch_size,
                           double condition_dropout, NoiseFrom noise = NoiseFrom::kHost);

// What the diffusion loss needs besides a batch's samples: Batch::inputs of a prepared batch.
struct DiffusionInputs {
  DiffusionDraw draw;
  nn::TextLayout layout;  // of the captions' mask, if there are captions
};

// The inputs of the diffusion objective, in addition to the model.
struct DiffusionSetting {
  const features::LatentCodec* codec;
  diffusion::TrainingLoss loss;
  uint64_t seed;    // for held-out samples
  DrawInputs draw;  // for training samples
  at::Device device;
  features::BatchEncoder encode = {};  // for batches of images and token ids
};

// Stages 1 to 3, class or caption -> image: the loss of what the model predicts of a noisy latent.
class DiffusionObjective : public Objective {
 public:
  DiffusionObjective(const models::Transformer& model, DiffusionSetting setting)
      : model_(model), setting_(std::move(setting)) {}
  void prepare(data::Batch& batch) const override;
  at::Tensor loss(const data::Batch& batch) override;
  at::Tensor held_out_losses(const data::Batch& sample) override;

 private:
  DiffusionInputs inputs_of(const data::Batch& batch, DiffusionDraw draw) const;
  at::Tensor losses(const data::Batch& samples, const DiffusionInputs& inputs, bool weighted) const;
  const models::Transformer& model_;
  DiffusionSetting setting_;
};

// The autoencoder: L1 + MSE of the reconstruction + kl_weight * KL to N(0, 1), a mean over latent elements.
class AutoencoderObjective : public Objective {
 public:
  AutoencoderObjective(const models::AutoencoderKl& model, uint64_t seed, double kl_weight, at::Device device,
                       NoiseFrom noise = NoiseFrom::kHost)
      : model_(model), seed_(seed), kl_weight_(kl_weight), device_(device), noise_from_(noise) {}
  void prepare(
      data::Batch& batch) const override;  // draws the noise of the latents, or names it for the device
  at::Tensor loss(const data::Batch& batch) override;
  at::Tensor held_out_losses(const data::Batch& sample) override;

 private:
  at::Tensor noise_for(const data::Batch& batch, const at::Tensor& mean) const;
  at::Tensor loss_of(const at::Tensor& image, const models::Moments& moments, const at::Tensor& noise) const;
  const models::AutoencoderKl& model_;
  uint64_t seed_;
  double kl_weight_;
  at::Device device_;
  NoiseFrom noise_from_;
};

// [B]: the released IDDPM loss of the output of `model` (noisy latent, timestep). diffusion_loss() is its
// mean.
at::Tensor diffusion_losses(const diffusion::LossTables& tables, const diffusion::Denoiser& model,
                            const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t);
at::Tensor diffusion_loss(const diffusion::LossTables& tables, const diffusion::Denoiser& model,
                          const at::Tensor& x_start, const at::Tensor& noise, const at::Tensor& t);

}  // namespace pixart::train
