#include "pixart/features/stage_transformer.h"

#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/data/aspect_bucket.h"

namespace pixart::features {

namespace {

int64_t latent_side(const run::StageConfig& stage, const models::VaeConfig& vae, int64_t patch_size) {
  const int64_t unit = vae.downscale() * patch_size;
  for (const auto& one : stage.at_each_resolution())
    if (one.resolution % unit != 0)
      throw UserError(fmt::format(
          "stage {}: resolution {} is not a multiple of {} (the autoencoder's factor {} times the patch size "
          "{}).",
          stage.name, one.resolution, unit, vae.downscale(), patch_size));
  return stage.resolution / vae.downscale();
}

struct Grid {
  int64_t rows, cols;
  friend bool operator==(const Grid&, const Grid&) = default;
};

// The grids of tokens of the stage's aspect buckets; a token is a square of `unit` pixels.
std::vector<Grid> bucket_grids(const run::StageConfig& stage, int64_t unit) {
  std::vector<Grid> grids;
  if (!stage.aspect_buckets) return grids;
  for (const auto& bucket : data::aspect_buckets(int(stage.resolution))) {
    const Grid grid{bucket.height / unit, bucket.width / unit};
    if (!contains(grids, grid)) grids.push_back(grid);
  }
  return grids;
}

// The released code leaves out the border of a grid that the factor does not divide, or cannot compute such a
// grid. A border of the stage's own square is a mistake; aspect buckets may have one where it can be computed.
void add_grid_problems(const run::StageConfig& stage, int64_t unit, Problems& problems) {
  const auto& compression = stage.kv_compression;
  const int64_t side = stage.resolution / unit;
  std::string own = compression.grid_problem(side, side);
  if (own.empty() && compression.sampling != models::KvSampling::kEvery && side % compression.factor != 0)
    own = fmt::format("kv_compression.factor {} does not divide {} x {} tokens", compression.factor, side,
                      side);
  if (!own.empty()) problems.add(fmt::format("{} (resolution {}).", own, stage.resolution));
  for (const Grid& grid : bucket_grids(stage, unit)) {
    const std::string problem = compression.grid_problem(grid.rows, grid.cols);
    if (!problem.empty()) problems.add(problem + " (an aspect bucket).");
  }
}

void require_divided_grids(const run::StageConfig& stage, int64_t unit) {
  if (!stage.kv_compression.is_on()) return;
  Problems problems;
  for (const auto& one : stage.at_each_resolution()) add_grid_problems(one, unit, problems);
  problems.throw_if_any("stage " + stage.name);
}

}  // namespace

models::TransformerShape shape_of(const run::TransformerSizeConfig& config) {
  if (config.preset) return models::transformer_preset(*config.preset);
  return {.patch_size = config.patch_size.value_or(0),
          .hidden_size = config.hidden_size.value_or(0),
          .depth = config.depth.value_or(0),
          .num_heads = config.num_heads.value_or(0),
          .mlp_ratio = config.mlp_ratio};
}

std::optional<models::WidthBase> width_base(const run::TransformerSizeConfig& config) {
  if (!config.base_width) return std::nullopt;
  return models::WidthBase{.width = *config.base_width,
                           .heads = config.base_heads.value_or(config.own_heads().value_or(1))};
}

models::TransformerConfig transformer_config(const run::RunConfig& run, const run::StageConfig& stage,
                                             const models::VaeConfig& vae, models::ConditionSizes sizes) {
  models::TransformerShape shape = shape_of(run.transformer);
  shape.qk_norm = run.transformer.qk_norm;
  shape.input_size = latent_side(stage, vae, shape.patch_size);
  shape.in_channels = vae.latent_channels;
  sizes.text.max_tokens = run.text_encoder.max_tokens;
  sizes.text.position_scale = stage.position_scale;
  sizes.text.multi_scale = stage.multi_scale;
  sizes.text.micro_conditions = stage.has_micro_conditions();
  sizes.text.kv_compression = stage.kv_compression;
  sizes.text.control_blocks = stage.control.is_on() ? stage.control.blocks : 0;
  require_divided_grids(stage, vae.downscale() * shape.patch_size);
  return models::transformer_config(stage.info().model, shape, sizes);
}

models::Execution execution_in(run::Precision precision) {
  if (precision == run::Precision::kBFloat16) return {.dtype = at::kBFloat16};
  return {};
}

}  // namespace pixart::features
