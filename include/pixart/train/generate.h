// Pictures from a trained transformer.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "pixart/diffusion/samplers.h"
#include "pixart/formats/image_file.h"
#include "pixart/models/transformer.h"
#include "pixart/train/components.h"

namespace pixart::train {

struct GenerateOptions : diffusion::SamplerConfig {
  uint64_t seed = 0;
  int64_t first_index = 0;  // picture i gets the noise of (seed, first_index + i), whatever the batch
  int64_t batch_size = 32;
  bool one_by_one = false;  // the same bits whatever batch_size is (numerics: exact)
  // Largest side, in latent pixels, that is decoded at once; larger pictures are decoded in tiles that
  // overlap by a quarter and are blended. 0: always at once.
  int64_t decode_tile = 128;
  std::function<void(int64_t)> progress = {};  // called with the number of finished pictures
  // Called before each evaluation of the model and each decoding; true ends it with the finished pictures.
  std::function<bool()> asked_to_stop = [] { return false; };
};

// What is drawn: one image for each row of the condition.
struct ToDraw {
  models::Condition condition;      // labels, or captions with their masks
  models::Condition negative = {};  // one caption with its mask, in place of the model's null condition
  int64_t latent_height = 0,
          latent_width = 0;  // 0: the model's own side; others need a model that takes any size
  double aspect_ratio = 1;   // height / width that such a model is told: its bucket's
};
models::Condition condition_of(const EncodedText& text);
models::Condition condition_of(const std::vector<int64_t>& labels);

// One image per row. The null condition is the null class, or the model's own null caption under the
// caption's mask (the released code's way), or the negative caption under its own mask; solvers guide all
// channels, ancestral sampling the first three, as the released code does.
std::vector<Image> generate(const models::Transformer& model, const LatentCodec& codec, const ToDraw& what,
                            at::Device device, const GenerateOptions& options);

// Decodes latents [B, C, h, w], a few pictures at a time (the decoder's activations are what memory goes to),
// and converts to 8 bit. `before_each` is called before each of these and may throw.
std::vector<Image> decode_images(
    const LatentCodec& codec, const at::Tensor& latents, int64_t tile = 0,
    const std::function<void()>& before_each = [] {});

}  // namespace pixart::train
