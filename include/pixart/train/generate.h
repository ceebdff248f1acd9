// Pictures from a trained transformer.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "pixart/formats/image_file.h"
#include "pixart/models/dit.h"
#include "pixart/models/pixart.h"
#include "pixart/train/components.h"

namespace pixart::train {

struct GenerateOptions {
  std::string sampler = "dpm_solver_pp";
  int64_t num_steps = 20;
  double guidance = 4.5;
  uint64_t seed = 0;
  int64_t first_index = 0;  // picture i gets the noise of (seed, first_index + i), whatever the batch
  int64_t batch_size = 32;
};

// One picture per caption. The null condition is the model's own null caption under the caption's mask (the
// released code's way); solvers guide all channels, ancestral sampling the first three, as the released code
// does.
std::vector<Image> generate(const models::PixArt& model, const LatentCodec& codec, const EncodedText& text,
                            int64_t latent_side, at::Device device, const GenerateOptions& options);

// One picture per class.
std::vector<Image> generate(const models::Dit& model, const LatentCodec& codec,
                            const std::vector<int64_t>& labels, at::Device device,
                            const GenerateOptions& options);

// Decodes latents [B, C, h, w] and converts to 8 bit.
std::vector<Image> decode_images(const LatentCodec& codec, const at::Tensor& latents);

}  // namespace pixart::train
