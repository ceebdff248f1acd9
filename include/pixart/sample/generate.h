// Generates images with a trained transformer.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pixart/diffusion/samplers.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/latent_codec.h"
#include "pixart/formats/image_file.h"
#include "pixart/models/transformer.h"
#include "pixart/sample/noise_key.h"

namespace pixart::sample {

struct GenerateOptions : diffusion::SamplerConfig {
  uint64_t seed = 0;
  int64_t first_index = 0;  // image i gets the noise of (seed, first_index + i) in any batch
  std::function<NoiseKey(int64_t)> noise_key = {};  // of image i, in place of these two
  int64_t batch_size = 32;
  bool one_by_one = false;                // the same bits for every batch_size (numerics: exact)
  std::optional<int64_t> tile_size = {};  // see tile_size_of()
  // Called with each image and its number, from 0, as soon as it is decoded; generate() then returns none.
  std::function<void(int64_t, const Image&)> take = {};
  // Called before each model evaluation and each decoding; true ends generation with the finished images.
  std::function<bool()> asked_to_stop = [] { return false; };
};

// The input of generate(): one image for each row of the condition.
struct ToDraw {
  models::Condition condition;      // labels, or captions with their masks
  models::Condition negative = {};  // one caption with its mask, replaces the model's null condition
  int64_t latent_height = 0,
          latent_width = 0;  // 0: the model's own side; others need a model that takes any size
  diffusion::Process process = {};
  double aspect_ratio = 1;  // height / width of the bucket, an input of such a model
};
models::Condition condition_of(const features::EncodedText& text);
models::Condition condition_of(const std::vector<int64_t>& labels);

// Generates one image per row. The null condition is the null class, or the model's own null caption with the
// caption's mask (as in the released code), or the negative caption with its own mask. Solvers guide all
// channels, ancestral sampling the first three, as in the released code.
std::vector<Image> generate(const models::Transformer& model, const features::LatentCodec& codec,
                            const ToDraw& what, at::Device device, const GenerateOptions& options);

// Side in pixels of the tiles that an image of height x width pixels is decoded in (models::decode_tiled);
// 0: it is decoded at once. `wanted` 0: never in tiles; unset: in tiles of 1024 pixels if the image has more
// than 1536 x 1536. An image that fits into one tile is decoded at once. Throws UserError for a side that is
// not a multiple of four latent pixels, which neighbours could not share a quarter of.
int64_t tile_size_of(std::optional<int64_t> wanted, const models::VaeConfig& vae, int64_t height,
                     int64_t width);

// Decodes latents [B, C, h, w], a few images at a time because the decoder's activations take much memory,
// and converts them to 8 bits. `before_each` is called before each such group and may throw.
std::vector<Image> decode_images(
    const features::LatentCodec& codec, const at::Tensor& latents, std::optional<int64_t> tile_size = {},
    const std::function<void()>& before_each = [] {});

}  // namespace pixart::sample
