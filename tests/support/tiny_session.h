// A PixArt of 64 channels in training on eight fixed latents.
#pragma once
#include <ATen/ATen.h>

#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "one_rank.h"
#include "pixart/base/random.h"
#include "pixart/models/transformer.h"
#include "pixart/nn/random_fill.h"
#include "pixart/run/trained_parameters.h"
#include "pixart/train/objectives.h"
#include "pixart/train/trainer.h"
#include "plain_codec.h"
#include "plain_loader.h"

namespace pixart::testing {

inline const models::PixArtConfig kTiny{
    {.input_size = 8,
     .patch_size = 2,
     .in_channels = 4,
     .hidden_size = 64,
     .depth = 3,
     .num_heads = 4,
     .mlp_ratio = 4.0,
     .learn_sigma = true},
    {.caption_channels = 16, .max_tokens = 6, .position_scale = 1.0, .multi_scale = false}};

inline at::Tensor normal(at::IntArrayRef shape, uint64_t stream) {
  at::Tensor tensor = at::empty(shape);
  fill_normal({7, stream, Purpose::kTest}, {tensor.data_ptr<float>(), size_t(tensor.numel())});
  return tensor;
}

inline constexpr models::AlignmentSizes kTinyProjection{.width = 64, .hidden = 12, .channels = 6};

// The projection of a stage with alignment, in the model's state.
inline train::AlignmentSetting tiny_alignment(const run::AlignmentConfig& config, nn::StateDict& state) {
  if (!config.is_on()) return {};
  return {
      .config = config,
      .projection = std::make_shared<const models::AlignmentProjection>(nn::Scope(state), kTinyProjection)};
}

// The objective of the text stages on eight fixed latents with captions and features of a teacher. Noise and
// timesteps depend on the sample alone if `fixed_noise`. With a distillation, that of a consistency stage.
class EightSamples : public train::Objective {
 public:
  EightSamples(const models::Transformer& model, bool fixed_noise, const run::SkippedTokens& skipped = {},
               train::AlignmentSetting alignment = {}, std::optional<train::Distillation> distillation = {})
      : codec_(plain_codec()),
        latents_(normal({8, 4, 8, 8}, 1)),
        captions_(normal({8, 6, 16}, 2)),
        seen_(normal({8, kTinyProjection.channels, 2, 2}, 4)),
        shipped_(model,
                 {.codec = &codec_,
                  .loss = diffusion::LossTables(diffusion::make_noise_schedule("linear", kSteps), at::kCPU),
                  .seed = kSeed,
                  .draw = distillation
                              ? train::draws_for_consistency(kSeed, kGuidance, 0.2)
                              : train::with_kept_tokens(draws(fixed_noise), kSeed, skipped, kTiny.patch_size),
                  .device = at::kCPU,
                  .skipped = skipped,
                  .alignment = std::move(alignment),
                  .distillation = distillation}) {}
  bool reads_ema() const override { return shipped_.reads_ema(); }
  void prepare(data::Batch& batch) const override {
    data::Batch samples = read(batch.plan);
    shipped_.prepare(samples);
    batch.inputs = std::move(samples);
  }
  at::Tensor loss(const data::Batch& batch) override {
    seen.insert(seen.end(), batch.plan.rows.begin(), batch.plan.rows.end());
    const at::Tensor loss = shipped_.loss(std::any_cast<const data::Batch&>(batch.inputs));
    return batch.plan.step == poison_step ? loss * std::numeric_limits<float>::quiet_NaN() : loss;
  }
  std::vector<std::string> recorded_names() const override { return shipped_.recorded_names(); }
  at::Tensor recorded_values() const override { return shipped_.recorded_values(); }
  std::vector<int64_t> seen;
  int64_t poison_step = -1;
  static constexpr diffusion::ConsistencyConfig kGuidance{.least_guidance = 2, .most_guidance = 8};

 private:
  static constexpr uint64_t kSeed = 3;
  static constexpr int64_t kSteps = 1000;
  static constexpr double kLogVar = -4;  // the draw from the moments counts, and less than the latents

  static train::DrawInputs draws(bool fixed_noise) {
    if (!fixed_noise) return train::draws_by_sample(kSeed, kSteps, 0.0);
    return [](const data::Batch& batch) {
      return train::draw_diffusion_inputs(kSeed, batch.plan.rows, {4, 8, 8}, kSteps, 0.0);
    };
  }
  data::Batch read(const data::MicroBatch& plan) const {
    const at::Tensor rows = at::tensor(plan.rows, at::kLong), mean = latents_.index_select(0, rows);
    return {.plan = plan,
            .mean = mean,
            .log_var = at::full_like(mean, kLogVar),
            .caption = captions_.index_select(0, rows),
            .mask = at::ones({rows.numel(), 6}, at::kLong),
            .teacher = seen_.index_select(0, rows)};
  }

  features::LatentCodec codec_;
  at::Tensor latents_, captions_, seen_;
  train::DiffusionObjective shipped_;
};

// As trained weights would be: the published initialisation has a zero output, which no block can change.
inline void wake_output(const nn::StateDict& state) {
  for (const char* name : {"final_layer.linear.weight", "blocks.0.cross_attn.proj.weight"})
    nn::fill_normal_named(state.get(name), name, 5, 0.1);
}

// The teacher is what the student starts from; `target` is registered in `ema`.
inline train::Distillation tiny_distillation(nn::StateDict& ema) {
  const auto target = std::make_shared<models::Transformer>(nn::Scope(ema), kTiny);
  nn::StateDict state;
  const auto teacher = std::make_shared<models::Transformer>(nn::Scope(state), kTiny);
  models::initialize(state, kTiny, {.seed = 5, .embedder_std = 0.0});
  wake_output(state);
  return {.teacher = teacher,
          .target = target,
          .loss = {diffusion::make_noise_schedule("linear", 1000), EightSamples::kGuidance, at::kCPU},
          .held_out_guidance = 5};
}

struct SessionOptions {
  run::TrainerConfig config;
  bool fixed_noise = false;
  int64_t micro_batch_size = 0;
  models::Execution execution = {};
  std::vector<std::string> frozen = {};
  distributed::Communicator* ranks = &one_rank();
  nn::LoraConfig lora = {};
  run::SkippedTokens skipped = {};
  run::AlignmentConfig alignment = {};
  bool distils = false;
};

struct Session {
  explicit Session(SessionOptions options)
      : model(models::Transformer(nn::Scope(state), kTiny).with(options.execution)),
        objective(model, options.fixed_noise, options.skipped, tiny_alignment(options.alignment, state),
                  options.distils ? std::optional(tiny_distillation(ema)) : std::nullopt),
        loader(plain_loader(8, {.batch_size = options.config.batch_size,
                                .micro_batch_size = options.micro_batch_size,
                                .rank = options.ranks->rank(),
                                .world_size = options.ranks->world_size(),
                                .one_by_one = options.config.numerics == run::Numerics::kExact})) {
    run::StageConfig stage;
    stage.objective = "text_conditional";
    stage.frozen = options.frozen;
    stage.lora = options.lora;
    run::add_adapters(stage, state);
    if (options.distils) run::add_adapters(stage, ema);
    models::initialize(state, kTiny, {.seed = 5, .embedder_std = 0.0});
    if (options.distils) wake_output(state);
    run::choose_trained(stage, state);
    trainer =
        std::make_unique<train::Trainer>(std::move(options.config), state, objective, loader, *options.ranks);
    if (options.distils) trainer->bind_ema(ema);
  }
  explicit Session(run::TrainerConfig config, bool fixed_noise = false, int64_t micro = 0,
                   const models::Execution& execution = {}, const std::vector<std::string>& frozen = {})
      : Session(SessionOptions{std::move(config), fixed_noise, micro, execution, frozen}) {}
  nn::StateDict state, ema;  // the latter is empty without distillation
  models::Transformer model;
  EightSamples objective;
  data::Loader loader;
  std::unique_ptr<train::Trainer> trainer;
};

// Every tensor of the optimizer's state, one behind the other.
inline at::Tensor optimizer_state(const train::Trainer& trainer) {
  std::vector<at::Tensor> tensors;
  for (const auto& item : trainer.optimizer_state()) tensors.push_back(item.tensor.reshape(-1));
  return at::cat(tensors);
}

inline run::TrainerConfig config_of(int64_t steps, int64_t batch) {
  run::TrainerConfig config;
  config.steps = steps;
  config.batch_size = batch;
  config.optimizer = {.lr = 2e-3, .betas = {0.9, 0.99}, .eps = 1e-8, .weight_decay = 0};
  config.lr_schedule.warmup_steps = 10;
  config.gradient_clip = 1;
  config.ema_decay = 0.9;
  return config;
}

}  // namespace pixart::testing
