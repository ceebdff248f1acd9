#include <ATen/ATen.h>

#include "initial_weights.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/log.h"
#include "pixart/base/words.h"
#include "pixart/convert/model_folder.h"
#include "pixart/data/transform.h"
#include "pixart/features/image_reader.h"
#include "pixart/features/latent_codec.h"
#include "pixart/run/trained_parameters.h"
#include "pixart/train/objectives.h"
#include "stage_model.h"

namespace pixart::train {

namespace {

constexpr int64_t kShownImages = 8;
constexpr int64_t kStatisticsImages = 2048;
constexpr int64_t kBatch = 64;

// Images [B, 3, R, R] in [-1, 1], as they are or decoded.
std::vector<Image> reconstruct(const models::AutoencoderKl& vae, at::Tensor shown, bool is_decoded,
                               const std::function<bool()>& asked_to_stop) {
  at::NoGradGuard no_grad;
  if (is_decoded) {
    const at::Tensor latents = vae.encode(shown).mean;
    if (asked_to_stop()) return {};
    shown = vae.decode(latents);
  }
  std::vector<Image> result;
  const at::Tensor on_host = shown.cpu();
  for (int64_t i = 0; i < on_host.size(0); ++i) result.push_back(data::to_image(on_host[i]));
  return result;
}

// Two groups: some originals, and the same decoded.
Drawing reconstructions(std::shared_ptr<const models::AutoencoderKl> vae,
                        std::shared_ptr<const features::ImageReader> images, at::Device device) {
  Drawing drawing{.group = std::min(kShownImages, images->size())};
  for (const char* name : {"original", "decoded"})
    drawing.captions.insert(drawing.captions.end(), size_t(drawing.group), name);
  drawing.draw = [=](int64_t first, int64_t count, const std::function<bool()>& asked_to_stop) {
    const at::Tensor pixels = features::to_unit_range(images->range(0, count)).to(device);
    return reconstruct(*vae, pixels, first > 0, asked_to_stop);
  };
  return drawing;
}

// Measures mean and standard deviation of latents per channel, so that the transformer gets unit variance.
void measure_latents(const models::AutoencoderKl& vae, const features::ImageReader& images, at::Device device,
                     models::VaeConfig& config) {
  at::NoGradGuard no_grad;
  const int64_t total = std::min(kStatisticsImages, images.size());
  at::Tensor sum = at::zeros({config.latent_channels}, at::kDouble), squares = sum.clone();
  int64_t count = 0;
  for (int64_t first = 0; first < total; first += kBatch) {
    const auto pixels = images.range(first, std::min(kBatch, total - first));
    const auto moments = vae.encode(features::to_unit_range(pixels).to(device));
    const at::Tensor mean = moments.mean.cpu().to(at::kDouble),
                     variance = moments.log_var.exp().cpu().to(at::kDouble);
    sum += mean.sum({0, 2, 3});
    squares += (mean.square() + variance).sum({0, 2, 3});
    count += mean.numel() / config.latent_channels;
  }
  const at::Tensor mean = sum / double(count), spread = (squares / double(count) - mean.square()).sqrt();
  config.scaling_factor = 1.0;
  config.latents_mean.assign(mean.data_ptr<double>(), mean.data_ptr<double>() + mean.numel());
  config.latents_std.assign(spread.data_ptr<double>(), spread.data_ptr<double>() + spread.numel());
}

std::shared_ptr<features::ImageReader> open_images(const features::RunContext& run,
                                                   const run::StageConfig& stage, features::StageParts parts,
                                                   uint64_t seed) {
  const auto images = std::make_shared<features::ImageReader>(
      std::move(parts), stage.resolution, seed, run.folder.root / "quarantine",
      features::ImageMemoryPlace{.folder = run.folder.image_checksums(stage.name),
                                 .rank = run.ranks.rank(),
                                 .is_new = !run::has_begun(run.folder, stage.name)});
  images->preload();
  return images;
}

// Others would be read in their place, some of them twice.
std::vector<int64_t> rows_that_scores_leave_out(const features::StageParts& parts) {
  std::vector<int64_t> rows;
  for (const auto& part : parts)
    for (int64_t row = 0; row < part.dataset->size(); ++row)
      if (!features::uses_row(part, row)) rows.push_back(part.first_row + row);
  return rows;
}

HeldOut open_held_out(features::RunContext& run, const run::StageConfig& stage, uint64_t seed) {
  auto parts = run.parts(stage.held_out());
  const auto left_out = rows_that_scores_leave_out(parts);
  const auto images = open_images(run, stage, std::move(parts), seed);
  return {.read = [images](const data::MicroBatch& plan) { return (*images)(plan); },
          .rows = evenly_spread_rows(images->size(), left_out, stage.validation.samples)};
}

}  // namespace

void require_whole_latents(const run::StageConfig& stage, const models::VaeConfig& config) {
  if (stage.resolution % config.downscale() != 0)
    throw UserError(fmt::format("stage {}: resolution {} is not a multiple of {}, the autoencoder's factor.",
                                stage.name, stage.resolution, config.downscale()));
}

StageModel make_autoencoder_stage(features::RunContext& run, const run::StageConfig& stage) {
  const auto config = features::configured_vae(run.config.autoencoder);
  require_whole_latents(stage, config);
  convert::require_model_folder(
      run.folder.autoencoder());  // checked before hours of training; it is replaced at the end
  StageModel result;
  const nn::StateDictOptions options{.dtype = at::kFloat, .device = run.device};
  result.state = std::make_unique<nn::StateDict>(options);
  result.ema = std::make_unique<nn::StateDict>(options);
  const auto vae = std::make_shared<models::AutoencoderKl>(nn::Scope(*result.state), config);
  const auto ema = std::make_shared<models::AutoencoderKl>(nn::Scope(*result.ema), config);
  log::info("stage {}: autoencoder of {} parameters", stage.name,
            with_thousands(result.state->num_parameters()));
  const int64_t num_parameters = result.state->num_parameters();
  if (const std::string frozen = run::choose_trained(stage, *result.state); !frozen.empty())
    log::info("stage {}: {}", stage.name, frozen);
  const auto parts = run.parts(stage);
  const uint64_t seed = run.stage_seed(stage);
  const auto images = open_images(run, stage, parts, seed);

  result.objective =
      std::make_unique<AutoencoderObjective>(*vae, seed, stage.kl_weight, run.device, noise_from(run));
  result.ema_objective = std::make_unique<AutoencoderObjective>(*ema, seed, stage.kl_weight, run.device);
  if (stage.validation.every > 0) result.held_out = open_held_out(run, stage, seed);
  result.excluded = std::make_shared<features::ExcludedSamples>(parts, stage.exclude);
  images->leave_out(result.excluded->rows());
  // Captions do not matter here, and bad images are found when they are read.
  const std::vector<data::Ledger> nothing_rejected(parts.size());
  result.data = features::data_fingerprints(parts, nothing_rejected);
  result.facts = {.parameters = num_parameters,
                  .trained_parameters = result.state->num_parameters(),
                  .batch_size = stage.batch_size};
  auto order = features::make_order(parts, nothing_rejected, stage, seed, result.excluded->rows(),
                                    run.config.order_version());
  result.loader = make_loader(run, stage, parts, std::move(order),
                              [images](const data::MicroBatch& plan) { return (*images)(plan); });
  nn::StateDict* state = result.state.get();
  nn::StateDict* ema_state = result.ema.get();
  result.initialize = [&run, &stage, vae, state, config] {
    return initialize_vae(run, stage, config, *state);
  };
  result.before_save = [images] {
    images->save_checksums();
    images->write_waiting();
  };
  result.drawing = reconstructions(ema, images, run.device);
  result.finish = [ema, images, exported = models::VaeConfig(config), ema_state, &run]() mutable {
    images->write_quarantine();
    measure_latents(*ema, *images, run.device, exported);
    convert::require_model_folder(run.folder.autoencoder());
    StagedFolder staged(run.folder.autoencoder(), convert::foreign_entries);
    models::save_vae(staged.path(), exported, *ema_state);
    staged.commit();
  };
  return result;
}

}  // namespace pixart::train
