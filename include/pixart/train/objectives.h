// The losses of the objectives in objective_table.h.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/diffusion/consistency.h"
#include "pixart/diffusion/denoiser.h"
#include "pixart/diffusion/training_loss.h"
#include "pixart/features/batch_encoder.h"
#include "pixart/features/latent_codec.h"
#include "pixart/features/stage_data.h"
#include "pixart/models/alignment.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"
#include "pixart/run/alignment_config.h"
#include "pixart/run/skipped_tokens.h"
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
  at::Tensor kept = {};       // [B, K] int64, rising: image tokens that skip no block; undefined: all
  at::Tensor guidance = {};   // [B] float32: scale of a teacher; undefined without one
};
// [C, h, w] of a sample's latent.
at::IntArrayRef latent_shape_of(const data::Batch& batch);

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

// The factor of each sample's loss, [B] float32; several threads call it at a time.
using WeighSamples = std::function<at::Tensor(const data::Batch& batch)>;

// By the part of the mix that holds the row (features::loss_weights); empty without weights.
WeighSamples weights_by_part(const features::StageParts& parts, const std::vector<double>& weights);

// [B, K] int64, rising in each row: which of `tokens` image tokens skip no block, drawn by position.
at::Tensor draw_kept_tokens(uint64_t seed, const std::vector<int64_t>& positions, int64_t tokens,
                            double rate);
// Adds them to a draw in the steps in which tokens skip blocks. A token has patch_size x patch_size latent pixels.
DrawInputs with_kept_tokens(DrawInputs draw, uint64_t seed, const run::SkippedTokens& skipped,
                            int64_t patch_size);

// For ConsistencyLoss: t is its index, drawn uniformly, and the guidance scale is drawn from its range.
DrawInputs draws_for_consistency(uint64_t seed, const diffusion::ConsistencyConfig& config,
                                 double condition_dropout);

// What the diffusion loss needs besides a batch's samples: Batch::inputs of a prepared batch.
struct DiffusionInputs {
  DiffusionDraw draw;
  nn::TextLayout layout;    // of the captions' mask, if there are captions
  at::Tensor weights = {};  // [B] float32: factors of the samples' losses; undefined: 1
};

// Alignment with a teacher (models/alignment.h) in training.
struct AlignmentSetting {
  run::AlignmentConfig config = {};
  std::shared_ptr<const models::AlignmentProjection> projection = {};  // null: none
  std::optional<at::ScalarType> dtype = {};                            // of the projection; unset: float32
  bool at_step(int64_t step) const { return projection != nullptr && config.at_step(step); }
};

// How a model is distilled from another.
struct Distillation {
  std::shared_ptr<const models::Transformer> teacher;  // frozen
  std::shared_ptr<const models::Transformer> target;   // with the EMA of the trained weights
  diffusion::ConsistencyLoss loss;
  double held_out_guidance;  // the teacher's for held-out samples
};

// The inputs of the diffusion objective, in addition to the model.
struct DiffusionSetting {
  const features::LatentCodec* codec;
  diffusion::TrainingLoss loss;
  uint64_t seed;    // for held-out samples
  DrawInputs draw;  // for training samples
  at::Device device;
  features::BatchEncoder encode = {};  // for batches of images and token ids
  WeighSamples weigh = {};             // training samples; empty: all have the same weight
  run::SkippedTokens skipped = {};     // the way of the tokens in training
  AlignmentSetting alignment = {};
  std::optional<Distillation> distillation = {};  // in place of `loss`, which then is not used

  int64_t num_steps() const { return distillation ? diffusion::kConsistencySteps : loss.num_steps(); }
};

// Stages 1 to 3, class or caption -> image: the loss of what the model predicts of a noisy latent.
class DiffusionObjective : public Objective {
 public:
  DiffusionObjective(const models::Transformer& model, DiffusionSetting setting)
      : model_(model), setting_(std::move(setting)) {}
  void prepare(data::Batch& batch) const override;
  at::Tensor loss(const data::Batch& batch) override;
  std::vector<std::string> recorded_names() const override;  // "alignment_loss" with a teacher
  at::Tensor recorded_values() const override { return recorded_; }
  bool reads_ema() const override { return setting_.distillation.has_value(); }
  at::Tensor held_out_losses(const data::Batch& sample) override;

 private:
  using Blocks = std::vector<at::Tensor>;  // outputs of a model's blocks
  DiffusionInputs inputs_of(const data::Batch& batch, DiffusionDraw draw) const;
  at::Tensor losses(const data::Batch& batch, const DiffusionInputs& inputs, bool weighted,
                    Blocks* blocks = nullptr) const;
  at::Tensor losses_of_kept(const models::Condition& condition, const diffusion::NoisyLatents& noisy,
                            const DiffusionDraw& draw, Blocks* blocks) const;
  at::Tensor alignment_loss(const data::Batch& batch, const DiffusionDraw& draw, const Blocks& blocks) const;
  at::Tensor distilled_losses(const models::Condition& condition, const diffusion::NoisyLatents& noisy,
                              const DiffusionDraw& draw) const;
  const models::Transformer& model_;
  DiffusionSetting setting_;
  at::Tensor recorded_;  // of the last loss
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
