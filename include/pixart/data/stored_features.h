// Features as the official PixArt-alpha tools store them (tools/extract_features.py), one file per image.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>

#include "pixart/data/rejection.h"

namespace pixart::data {

struct StoredLatent {
  at::Tensor mean, log_var;  // [4, h, w] float32, not scaled
};

// Reads a .npy of shape (8, h, w), float16 or float32: means, then standard deviations. Throws
// BadSample(kBadFeature) for another shape or type, for values that are not finite, for standard deviations
// that are not positive, and for a damaged file.
StoredLatent read_stored_latent(const std::filesystem::path& path);

struct StoredCaption {
  at::Tensor tokens;  // [T, C] float32, without padding; at least one
};

// Reads a .npz with caption_feature (1, T, C), float16 or float32, and attention_mask (1, T) of zeros and
// ones; without a mask all tokens count. Only the first `max_tokens` are used. Throws BadSample(kBadFeature).
StoredCaption read_stored_caption(const std::filesystem::path& path, int64_t max_tokens);

}  // namespace pixart::data
