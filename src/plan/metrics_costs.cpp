#include "metrics_costs.h"

#include <filesystem>

#include "element_sizes.h"
#include "pixart/base/error.h"
#include "pixart/models/clip.h"

namespace pixart::plan {
namespace fs = std::filesystem;

namespace {

constexpr double kChannels = 3;
// FID's network at 299 x 299 pixels, and its weights.
constexpr double kInceptionFlops = 11.4e9, kInceptionWeights = 23.9e6;

double tower_flops(const models::ClipTower& tower, double tokens) {
  const double d = double(tower.width);
  return double(tower.layers) *
         (8 * tokens * d * d + 4 * tokens * tokens * d + 4 * tokens * d * double(tower.mlp));
}

double tower_weights(const models::ClipTower& tower) {
  const double d = double(tower.width);
  return double(tower.layers) * (4 * d * d + 2 * d * double(tower.mlp));
}

double num_patches(const models::ClipConfig& clip) {
  const auto side = double(clip.image_size / clip.patch_size);
  return side * side;
}

double patch_values(const models::ClipConfig& clip) {
  return kChannels * double(clip.patch_size * clip.patch_size);
}

double clip_flops(const models::ClipConfig& clip) {
  return tower_flops(clip.vision, num_patches(clip) + 1) +
         2 * num_patches(clip) * patch_values(clip) * double(clip.vision.width);
}

double clip_weights(const models::ClipConfig& clip) {
  return tower_weights(clip.vision) + tower_weights(clip.text) +
         double(clip.vision.width) * (patch_values(clip) + num_patches(clip) + double(clip.embedding)) +
         double(clip.text.width) * double(clip.vocab_size + clip.max_tokens + clip.embedding);
}

// Of the folder, or the largest usual model.
models::ClipConfig clip_config(const fs::path& folder, std::vector<std::string>& assumptions) {
  for (const char* name : {"config.json", "open_clip_config.json"})
    if (fs::exists(folder / name)) return models::read_clip_config(folder / name);
  assumptions.push_back(fmt::format("{} is missing: CLIP ViT-L/14 with 336 pixels is assumed.",
                                    (folder / "config.json").string()));
  return {.vision = {.width = 1024, .layers = 24, .heads = 16, .mlp = 4096},
          .text = {.width = 768, .layers = 12, .heads = 12, .mlp = 3072},
          .image_size = 336,
          .patch_size = 14,
          .embedding = 768};
}

// Heun's method evaluates the model twice in a step, but once in the last one; guidance doubles the images.
double evaluations(const diffusion::SamplerConfig& sampler) {
  const auto steps = double(sampler.num_steps);
  return (sampler.sampler == "heun" ? 2 * steps - 1 : steps) * (sampler.guidance == 1 ? 1 : 2);
}

}  // namespace

MetricsCosts metrics_costs(const run::StageConfig& stage, const StageCosts& costs,
                           std::vector<std::string>& assumptions) {
  MetricsCosts result;
  if (stage.metrics.every == 0) return result;
  result.draw_flops = evaluations(stage.metrics_sampler()) * costs.flops.forward;
  result.float32_flops = autoencoder_cost(costs.vae, stage.resolution).decode;
  if (stage.metrics.uses_inception()) {
    result.float32_flops += kInceptionFlops;
    result.bytes += kFloat * kInceptionWeights;
  }
  if (stage.metrics.uses_clip()) {
    const auto clip = clip_config(stage.metrics.clip, assumptions);
    const int passes =
        (stage.metrics.wants(score::Metric::kCmmd) ? 1 : 0) + (stage.metrics.reads_crops() ? 1 : 0);
    result.float32_flops += passes * clip_flops(clip);
    result.bytes += kFloat * clip_weights(clip);
  }
  return result;
}

MetricsPlan metrics_plan(const run::StageConfig& stage, const MetricsCosts& costs, double flops_per_second,
                         const PlanOptions& options) {
  if (stage.metrics.every == 0) return {};
  const double float32_rate = options.efficiency * options.gpu.peak(run::Precision::kFloat32);
  // The GPU with most images.
  const auto images = double((stage.metrics.images + options.gpus - 1) / options.gpus);
  return {
      .looks = (stage.steps + stage.metrics.every - 1) / stage.metrics.every,
      .images = stage.metrics.images,
      .seconds_each = images * (costs.draw_flops / flops_per_second + costs.float32_flops / float32_rate)};
}

}  // namespace pixart::plan
