#include "pixart/features/latent_codec.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"
#include "pixart/features/file_fingerprint.h"
#include "pixart/run/run_folder.h"

namespace pixart::features {
namespace fs = std::filesystem;

LatentCodec::LatentCodec(models::LoadedVae loaded, fs::path folder)
    : loaded_(std::move(loaded)), folder_(std::move(folder)) {
  const auto& config = loaded_.config();
  const auto options = at::TensorOptions().dtype(at::kFloat);
  const int64_t channels = config.latent_channels;
  const auto device = loaded_.state->options().device;
  at::Tensor mean = at::full({channels}, config.shift_factor, options),
             spread = at::ones({channels}, options);
  for (size_t i = 0; i < config.latents_mean.size(); ++i)
    mean[int64_t(i)] = config.latents_mean[i] + config.shift_factor;
  for (size_t i = 0; i < config.latents_std.size(); ++i) spread[int64_t(i)] = config.latents_std[i];
  mean_ = mean.view({1, channels, 1, 1}).to(device);
  scale_ = (config.scaling_factor / spread).view({1, channels, 1, 1}).to(device);
}

data::FeatureInput LatentCodec::input() const {
  if (!fs::is_regular_file(folder_)) return folder_input("autoencoder", folder_);
  return {.name = "autoencoder", .value = weights_fingerprint(folder_)};
}

at::Tensor LatentCodec::normalize(const at::Tensor& sample) const { return (sample - mean_) * scale_; }
at::Tensor LatentCodec::decode(const at::Tensor& latent) const { return loaded_.decode(restored(latent)); }
at::Tensor LatentCodec::decode(const at::Tensor& latent, const models::Tiling& tiling) const {
  return models::decode_tiled(loaded_, restored(latent), tiling);
}
at::Tensor LatentCodec::restored(const at::Tensor& latent) const { return latent / scale_ + mean_; }

models::VaeConfig configured_vae(const run::AutoencoderConfig& config) { return {config.size}; }

fs::path autoencoder_folder(const run::RunConfig& config) {
  return config.autoencoder.path ? *config.autoencoder.path : run::RunFolder{config.run}.autoencoder();
}

LatentCodec load_codec(const run::RunConfig& config, at::Device device) {
  const fs::path folder = autoencoder_folder(config);
  if (!models::holds_vae(folder)) {
    throw UserError(fmt::format(
        "{} has no autoencoder: set autoencoder.path to a diffusers folder (config.json and "
        "weights) or to one with the encoder and the decoder of a TAESD, or put a stage with objective "
        "autoencoder first.",
        folder.string()));
  }
  return {models::load_vae(folder, device), folder};
}

LatentCodec load_preview_decoder(const fs::path& path, const models::VaeConfig& autoencoder,
                                 at::Device device) {
  const auto config = models::vae_config_of(path);
  if (config.tiny && config.tiny->decoder.empty())
    throw UserError(
        fmt::format("{} is an encoder: a preview needs the decoder of a tiny autoencoder.", path.string()));
  if (config.latent_channels != autoencoder.latent_channels || config.downscale() != autoencoder.downscale())
    throw UserError(
        fmt::format("the preview decoder {} takes latents of {} channels at 1/{} of the side, and the model "
                    "draws latents of {} channels at 1/{}: give one that belongs to its autoencoder.",
                    path.string(), config.latent_channels, config.downscale(), autoencoder.latent_channels,
                    autoencoder.downscale()));
  return {models::load_vae(path, device), path};
}

}  // namespace pixart::features
