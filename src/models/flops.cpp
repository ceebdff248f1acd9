#include "pixart/models/flops.h"

namespace pixart::models {

namespace {

constexpr int64_t kFrequencies = 256;  // of nn::TimestepEmbedder

int64_t timestep_macs(int64_t width) { return kFrequencies * width + width * width; }

template <class Config>
int64_t mlp_width(const Config& c) {
  return int64_t(double(c.hidden_size) * c.mlp_ratio);
}

// Self-attention and MLP of a block.
template <class Config>
int64_t block_macs(const Config& c, int64_t n) {
  const int64_t d = c.hidden_size;
  return 4 * n * d * d + 2 * n * n * d + 2 * n * d * mlp_width(c);
}

// Patch embedding, timestep MLP and last projection.
template <class Config>
int64_t outer_macs(const Config& c, int64_t n) {
  const int64_t patch = c.patch_size * c.patch_size;
  return n * patch * c.in_channels * c.hidden_size + timestep_macs(c.hidden_size) +
         n * c.hidden_size * patch * c.out_channels();
}

}  // namespace

int64_t num_image_tokens(int64_t patch_size, int64_t latent_height, int64_t latent_width) {
  return (latent_height / patch_size) * (latent_width / patch_size);
}

int64_t forward_macs(const DitConfig& config, int64_t image_tokens) {
  const int64_t d = config.hidden_size, modulation = 6 * d * d, last_modulation = 2 * d * d;
  return config.depth * (block_macs(config, image_tokens) + modulation) + last_modulation +
         outer_macs(config, image_tokens);
}

int64_t forward_macs(const PixArtConfig& config, int64_t image_tokens, int64_t caption_tokens) {
  const int64_t d = config.hidden_size, n = image_tokens, t = caption_tokens;
  const int64_t cross = 2 * n * d * d + 2 * t * d * d + 2 * n * t * d;
  const int64_t shared_modulation = 6 * d * d, caption = t * (config.caption_channels * d + d * d);
  const int64_t micro_conditions = config.multi_scale ? 3 * timestep_macs(d / 3) : 0;
  return config.depth * (block_macs(config, n) + cross) + shared_modulation + caption + micro_conditions +
         outer_macs(config, n);
}

}  // namespace pixart::models
