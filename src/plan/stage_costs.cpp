#include "stage_costs.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <filesystem>

#include "element_sizes.h"
#include "metrics_costs.h"
#include "pixart/base/error.h"
#include "pixart/base/log.h"
#include "pixart/demo/scenes.h"
#include "pixart/features/latent_codec.h"
#include "pixart/features/stage_transformer.h"
#include "pixart/features/teacher.h"
#include "pixart/models/t5.h"
#include "pixart/nn/lora.h"
#include "pixart/nn/state_dict.h"
#include "pixart/run/trained_parameters.h"

namespace pixart::plan {
namespace fs = std::filesystem;

namespace {

constexpr int64_t kImageNetClasses = 1000;

void assume(std::vector<std::string>& assumptions, std::string sentence) {
  if (std::find(assumptions.begin(), assumptions.end(), sentence) == assumptions.end())
    assumptions.push_back(std::move(sentence));
}

models::VaeConfig vae_of(const run::RunConfig& config, std::vector<std::string>& assumptions) {
  if (!config.autoencoder.path) return features::configured_vae(config.autoencoder);
  const fs::path& folder = *config.autoencoder.path;
  if (models::holds_vae(folder)) return models::vae_config_of(folder);
  assume(
      assumptions,
      fmt::format("{} is missing: Stable Diffusion's autoencoder is assumed (8 x smaller sides, 4 channels).",
                  (folder / "config.json").string()));
  return models::vae_preset("sd-vae");
}

models::T5Config text_encoder_of(const run::RunConfig& config, std::vector<std::string>& assumptions) {
  const auto& settings = config.text_encoder;
  if (!settings.path) {
    models::T5Config made{settings.size};
    made.vocab_size = settings.vocabulary;
    made.d_kv = std::max<int64_t>(1, made.d_model / made.num_heads);
    return made;
  }
  const fs::path file = *settings.path / "config.json";
  if (fs::exists(file)) return models::read_t5_config(file);
  assume(assumptions, fmt::format("{} is missing: the text encoder T5 v1.1 XXL is assumed (4096 channels).",
                                  file.string()));
  return models::t5_preset("t5-v1_1-xxl");
}

int64_t num_classes(const run::RunConfig& config, const run::StageConfig& stage, const PlanOptions& options,
                    std::vector<std::string>& assumptions) {
  if (options.num_classes) return *options.num_classes;
  if (config.source(stage.parts().front().source).draws_scenes())
    return int64_t(demo::scene_class_names().size());
  assume(assumptions,
         fmt::format("{} classes are assumed, as in ImageNet; change it with --classes.", kImageNetClasses));
  return kImageNetClasses;
}

// AdamW has two moments. CAME has one, and two pairs of row and column means for matrices; Muon has one for matrices.
double optimizer_numbers(optim::OptimizerName name, const nn::StateDict& state) {
  if (name == optim::OptimizerName::kAdamW) return 2 * double(state.num_parameters());
  double numbers = double(state.num_parameters());
  for (const auto& item : state.items()) {
    if (!item.trainable) continue;
    const at::Tensor& tensor = item.tensor;
    const double all = double(tensor.numel());
    if (name == optim::OptimizerName::kMuon)
      numbers += optim::matrices_in(item.name, tensor.sizes()) > 0 ? 0 : all;
    else if (tensor.dim() < 2)
      numbers += all;
    else
      numbers += 2 * (all / double(tensor.size(-1)) + all / double(tensor.size(-2)));
  }
  return numbers;
}

bool is_recomputed(const std::string& name, int64_t every) {
  if (every == 0 || !name.starts_with("blocks.")) return false;
  return (std::stoll(name.substr(7)) + 1) % every == 0;
}

// Counts the elements of the model of `state`, whose tensors have no memory.
void count(const run::StageConfig& stage, nn::StateDict& state, StageCosts& costs) {
  costs.lora_rank = stage.lora.rank;
  run::add_adapters(stage, state);
  if (const std::string frozen = run::choose_trained(stage, state); !frozen.empty())
    log::info("stage {}: {}", stage.name, frozen);
  costs.trained = state.num_parameters();
  for (const auto& tensor : state.trainable()) costs.largest = std::max(costs.largest, tensor.numel());
  costs.optimizer_numbers = optimizer_numbers(stage.optimizer.name, state);
  double live_block = 0;
  for (const auto& item : state.items()) {
    const double numbers = double(item.tensor.numel());
    const bool is_buffer = item.name == "pos_embed" || item.name == "y_embedder.y_embedding";
    if (is_buffer) {
      costs.buffer_bytes += kFloat * numbers;
      continue;
    }
    if (!nn::is_lora_name(item.name)) costs.parameters += int64_t(numbers);
    if (is_recomputed(item.name, costs.recompute_every)) {
      if (item.name.starts_with(fmt::format("blocks.{}.", costs.recompute_every - 1))) live_block += numbers;
      continue;
    }
    costs.product_parameters += numbers;
  }
  costs.product_parameters += live_block;
}

// Of a stage with alignment.
void add_projection(const run::StageConfig& stage, int64_t width, nn::StateDict& state,
                    std::vector<std::string>& assumptions) {
  constexpr int64_t kUsualChannels = 768;
  if (!stage.alignment.is_on()) return;
  const fs::path& teacher = *stage.alignment.teacher;
  models::AlignmentSizes sizes{
      .width = width, .hidden = stage.alignment.hidden_size, .channels = kUsualChannels};
  if (fs::exists(teacher))
    sizes.channels = features::teacher_sizes(teacher).channels;
  else
    assume(assumptions, fmt::format("{} is missing: a teacher of {} channels is assumed.", teacher.string(),
                                    kUsualChannels));
  const models::AlignmentProjection projection(nn::Scope(state), sizes);
  assume(assumptions, "the FLOPs of teachers, which are computed once for stored features, are not counted.");
}

// Of the projection, for a sample: forward, and backward twice.
double projection_flops(const nn::StateDict& state, int64_t tokens) {
  double numbers = 0;
  for (const auto& item : state.items())
    if (models::is_alignment_name(item.name)) numbers += double(item.tensor.numel());
  return 6 * numbers * double(tokens);
}

}  // namespace

StageCosts stage_costs(const run::RunConfig& config, const run::StageConfig& stage,
                       const PlanOptions& options, std::vector<std::string>& assumptions) {
  StageCosts costs;
  costs.is_autoencoder = stage.info().trains_autoencoder();
  costs.precision = stage.precision;
  costs.recompute_every = stage.activation_checkpointing;
  costs.resolution = stage.resolution;
  costs.vae = vae_of(config, assumptions);
  if (stage.power_ema.every > 0) costs.emas += double(stage.power_ema.lengths.size());
  nn::StateDict state({.dtype = at::kFloat, .device = at::kMeta});
  if (costs.is_autoencoder) {
    const models::AutoencoderKl model(nn::Scope(state), costs.vae);
    count(stage, state, costs);
    costs.autoencoder = autoencoder_cost(costs.vae, stage.resolution);
    costs.flops.forward = costs.autoencoder.encode + costs.autoencoder.decode;
    costs.flops.training = costs.flops.executed = 3 * costs.flops.forward;
    return costs;
  }
  const auto used = models::make_vae(costs.vae, {.device = at::kMeta});
  costs.buffer_bytes += kFloat * double(used.state->num_parameters());
  models::ConditionSizes sizes;
  if (stage.info().reads_labels) sizes.labels.num_classes = num_classes(config, stage, options, assumptions);
  models::T5Config text_encoder;
  if (stage.info().reads_captions) text_encoder = text_encoder_of(config, assumptions);
  if (stage.info().reads_captions) sizes.text.caption_channels = text_encoder.d_model;
  costs.encoding = encoding_costs(config, stage, costs.vae, text_encoder);
  const auto transformer = features::transformer_config(config, stage, costs.vae, sizes);
  const models::Transformer model(nn::Scope(state), transformer);
  costs.work = transformer.work();
  add_projection(stage, costs.work.width, state, assumptions);
  count(stage, state, costs);
  if (stage.info().distills) costs.buffer_bytes += kFloat * double(costs.parameters);  // the teacher
  models::TransformerWork worked = costs.work;  // memory counts the longest caption, time the mean one
  if (options.caption_tokens && worked.cross_attention)
    worked.caption_tokens = std::min(worked.caption_tokens, *options.caption_tokens);
  const run::ParameterCounts counts{
      .model = costs.parameters, .trained = costs.trained, .has_adapters = costs.lora_rank > 0};
  const run::SkippedTokens skipped = stage.skipped_tokens(worked.depth);
  const auto flops = [&](const models::TransformerWork& work) {
    return stage_flops(stage, work, counts.trained_part(), costs.recompute_every);
  };
  const double share = skipped.share_of(stage.steps);
  costs.flops = mixed(flops(worked.skipping(skipped.rate, skipped.from, skipped.to)), flops(worked), share);
  const double aligned = stage.alignment.share_of(stage.steps) *
                         projection_flops(state, worked.tokens_in(stage.alignment.block));
  costs.flops.training += aligned, costs.flops.executed += aligned;
  if (share == 1) costs.work = costs.work.skipping(skipped.rate, skipped.from, skipped.to);
  costs.metrics_bytes = metrics_costs(stage, costs, assumptions).bytes;
  return costs;
}

MemoryParts memory_of(const StageCosts& costs, const RankLayout& layout) {
  const double trained = kFloat * double(costs.trained);
  const double shards = layout.shard ? double(layout.ranks) : 1;
  MemoryParts parts;
  parts.weights = kFloat * double(costs.parameters) + (costs.lora_rank > 0 ? trained : 0);
  parts.low_precision_copies = costs.bfloat16() ? kBfloat16 * costs.product_parameters : 0;
  parts.gradients = trained;
  parts.optimizer = kFloat * costs.optimizer_numbers / shards;
  parts.ema = costs.emas * trained / shards;
  if (layout.ranks > 1 && layout.shard) parts.communication += trained;
  if (layout.ranks > 1 && layout.is_cpu) {
    const double bucket = double(run::kGradientBucketBytes) + kFloat * double(costs.largest);
    parts.communication += std::min(trained, bucket);
  }
  const ActivationBytes activations =
      costs.is_autoencoder
          ? activation_bytes(costs.autoencoder, costs.vae, costs.resolution, layout.micro_batch)
          : activation_bytes(costs.work, {.bfloat16 = costs.bfloat16(),
                                          .recompute_every = costs.recompute_every,
                                          .micro_batch = layout.micro_batch,
                                          .lora_rank = costs.lora_rank,
                                          .fused_norms = layout.is_cpu});
  // Encoders have done their work before the transformer begins.
  const double peak = std::max(activations.peak, costs.encoding.workspace(layout.micro_batch));
  parts.activations = std::min(activations.kept, activations.peak);
  parts.workspace = peak - parts.activations;
  parts.buffers = costs.buffer_bytes + costs.metrics_bytes + costs.encoding.bytes;
  parts.reserve = layout.reserve;
  return parts;
}

}  // namespace pixart::plan
