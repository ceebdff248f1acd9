// Features as the official PixArt-alpha tools store them (tools/extract_features.py), one file a picture.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>

#include "pixart/data/rejection.h"

namespace pixart::data {

struct StoredLatent {
  at::Tensor mean, log_var;  // [4, h, w] float32, not scaled
};

// A .npy of shape (8, h, w), float16 or float32: means, then standard deviations. Throws
// BadSample(kBadFeature) for another shape or type, values that are not finite, deviations that are not
// positive, and a file that is damaged.
StoredLatent read_stored_latent(const std::filesystem::path& path);

struct StoredCaption {
  at::Tensor tokens;  // [T, C] float32, without padding; at least one
};

// A .npz with caption_feature (1, T, C), float16 or float32, and attention_mask (1, T) of zeros and ones;
// without a mask all tokens count. Only the first `max_tokens` are looked at. Throws BadSample(kBadFeature).
StoredCaption read_stored_caption(const std::filesystem::path& path, int64_t max_tokens);

}  // namespace pixart::data
