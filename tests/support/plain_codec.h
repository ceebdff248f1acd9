// A latent codec whose autoencoder is as small as can be: for objectives that are given latents.
#pragma once
#include <memory>
#include <utility>
#include <vector>

#include "pixart/features/latent_codec.h"

namespace pixart::testing {

// With initial weights and the config's own normalisation.
inline features::LatentCodec small_codec(models::VaeConfig config, at::Device device = at::kCPU) {
  config.block_out_channels = {4, 4}, config.layers_per_block = 1, config.norm_num_groups = 2;
  models::LoadedVae loaded{.state = std::make_unique<nn::StateDict>(nn::StateDictOptions{.device = device}),
                           .vae = nullptr};
  loaded.vae = std::make_unique<models::AutoencoderKl>(nn::Scope(*loaded.state), config);
  models::initialize(*loaded.state, config, 1);
  return {std::move(loaded), "plain"};
}

// normalize(x) = (x - mean) * scaling_factor / deviation; mean and deviation of each of the four channels.
inline features::LatentCodec plain_codec(double scaling_factor = 1, std::vector<double> mean = {},
                                         std::vector<double> deviation = {}, at::Device device = at::kCPU) {
  models::VaeConfig config;
  config.scaling_factor = scaling_factor;
  config.latents_mean = std::move(mean), config.latents_std = std::move(deviation);
  return small_codec(std::move(config), device);
}

}  // namespace pixart::testing
