// The autoencoder of a run: images to latents and back.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>

#include "pixart/data/feature_set.h"
#include "pixart/models/vae.h"
#include "pixart/run/run_config.h"

namespace pixart::features {

// An autoencoder (AutoencoderKL, or a tiny one) with the shift and the scaling that give its latents mean 0 and unit
// variance.
class LatentCodec {
 public:
  LatentCodec(models::LoadedVae loaded, std::filesystem::path folder);  // `loaded` from `folder`
  models::Moments encode(const at::Tensor& image) const { return loaded_.encode(image); }
  at::Tensor normalize(const at::Tensor& sample) const;  // latent of the autoencoder -> of the transformer
  // normalize(sample) = (sample - shift()) * scale(); [1, L, 1, 1] float32.
  const at::Tensor& shift() const { return mean_; }
  const at::Tensor& scale() const { return scale_; }
  at::Tensor decode(const at::Tensor& latent) const;  // from normalised latents to images in [-1, 1]
  at::Tensor decode(const at::Tensor& latent, const models::Tiling& tiling) const;
  at::Device device() const { return mean_.device(); }
  const models::VaeConfig& config() const { return loaded_.config(); }
  data::FeatureInput input() const;  // the files that latents depend on; reads the folder

 private:
  at::Tensor restored(const at::Tensor& latent) const;  // the inverse of normalize()
  models::LoadedVae loaded_;
  std::filesystem::path folder_;
  at::Tensor mean_, scale_;  // [1, L, 1, 1]
};

models::VaeConfig configured_vae(const run::AutoencoderConfig& config);  // of the one that this run trains
std::filesystem::path autoencoder_folder(const run::RunConfig& config);  // configured path, or the run's own
LatentCodec load_codec(const run::RunConfig& config,
                       at::Device device);  // UserError if the stage has not run yet

// An autoencoder of which only the decoder is used, in place of that of `autoencoder`: a TAESD (a folder, or the file
// of its decoder) or a diffusers folder. Throws UserError if its latents have other channels or another factor.
LatentCodec load_preview_decoder(const std::filesystem::path& path, const models::VaeConfig& autoencoder,
                                 at::Device device);

}  // namespace pixart::features
