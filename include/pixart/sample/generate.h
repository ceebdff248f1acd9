// Generates images with a trained transformer.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "pixart/diffusion/samplers.h"
#include "pixart/features/caption_encoder.h"
#include "pixart/features/latent_codec.h"
#include "pixart/formats/image_file.h"
#include "pixart/models/transformer.h"

namespace pixart::sample {

struct GenerateOptions : diffusion::SamplerConfig {
  uint64_t seed = 0;
  int64_t first_index = 0;  // image i gets the noise of (seed, first_index + i) in any batch
  int64_t batch_size = 32;
  bool one_by_one = false;  // the same bits for every batch_size (numerics: exact)
  // Largest side, in latent pixels, that is decoded at once; larger images are decoded in tiles that
  // overlap by a quarter and are blended. 0: always at once.
  int64_t decode_tile = 128;
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

// Decodes latents [B, C, h, w], a few images at a time because the decoder's activations take much memory,
// and converts them to 8 bits. `before_each` is called before each such group and may throw.
std::vector<Image> decode_images(
    const features::LatentCodec& codec, const at::Tensor& latents, int64_t tile = 0,
    const std::function<void()>& before_each = [] {});

}  // namespace pixart::sample
