#include "pixart/features/stage_transformer.h"

#include "pixart/base/error.h"

namespace pixart::features {

namespace {

models::TransformerShape shape_of(const run::TransformerSizeConfig& config) {
  if (config.preset) return models::transformer_preset(*config.preset);
  return {.patch_size = config.patch_size.value_or(0),
          .hidden_size = config.hidden_size.value_or(0),
          .depth = config.depth.value_or(0),
          .num_heads = config.num_heads.value_or(0),
          .mlp_ratio = config.mlp_ratio};
}

int64_t latent_side(const run::StageConfig& stage, const models::VaeConfig& vae, int64_t patch_size) {
  const int64_t unit = vae.downscale() * patch_size;
  if (stage.resolution % unit != 0) {
    throw UserError(fmt::format(
        "stage {}: resolution {} is not a multiple of {} (the autoencoder's factor {} times the patch size "
        "{}).",
        stage.name, stage.resolution, unit, vae.downscale(), patch_size));
  }
  return stage.resolution / vae.downscale();
}

}  // namespace

models::TransformerConfig transformer_config(const run::RunConfig& run, const run::StageConfig& stage,
                                             const models::VaeConfig& vae, models::ConditionSizes sizes) {
  models::TransformerShape shape = shape_of(run.transformer);
  shape.qk_norm = run.transformer.qk_norm;
  shape.input_size = latent_side(stage, vae, shape.patch_size);
  shape.in_channels = vae.latent_channels;
  sizes.text.max_tokens = run.text_encoder.max_tokens;
  sizes.text.position_scale = stage.position_scale;
  sizes.text.multi_scale = stage.multi_scale;
  return models::transformer_config(stage.info().model, shape, sizes);
}

models::Execution execution_in(run::Precision precision) {
  if (precision == run::Precision::kBFloat16) return {.dtype = at::kBFloat16};
  return {};
}

}  // namespace pixart::features
