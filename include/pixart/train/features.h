// What the diffusion stages train on: latents and caption features of a source, computed once and cached in
// the run folder. A cache is used only if its fingerprint (source, resolution, autoencoder or text encoder)
// agrees.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "pixart/data/dataset.h"
#include "pixart/train/components.h"

namespace pixart::train {

// The pictures of a source as [3, R, R] uint8, in memory where they fit, else decoded as they are asked for.
class PictureSource {
 public:
  PictureSource(const data::Dataset& dataset, int64_t resolution);
  at::Tensor batch(const std::vector<int64_t>& rows) const;  // [B, 3, R, R] float32 in [-1, 1]
  int64_t size() const { return dataset_.size(); }
  at::Tensor original_sizes() const {
    return original_sizes_;
  }                // [N, 2] float32 height, width; known after preload()
  void preload();  // with a progress bar

 private:
  const data::Dataset& dataset_;
  int64_t resolution_;
  at::Tensor pixels_;  // [N, 3, R, R] uint8, if preloaded
  at::Tensor original_sizes_;
};

struct LatentFeatures {
  at::Tensor mean, std;       // [N, L, h, w], not normalised
  at::Tensor original_sizes;  // [N, 2]
};
LatentFeatures latent_features(const RunFolder& folder, const data::Dataset& dataset,
                               const std::string& source_name, int64_t resolution, const LatentCodec& codec,
                               at::Device device);

// Features of the distinct captions, packed: caption k owns rows offsets[k] .. offsets[k+1] of `packed`.
class CaptionFeatures {
 public:
  CaptionFeatures(at::Tensor packed, at::Tensor offsets, at::Tensor caption_of, int64_t max_tokens);
  // The captions of the given samples, padded to max_tokens.
  EncodedText batch(const std::vector<int64_t>& rows) const;
  int64_t channels() const { return packed_.size(1); }

 private:
  at::Tensor packed_;                          // [total tokens, C]
  std::vector<int64_t> offsets_, caption_of_;  // [captions + 1], [N]
  int64_t max_tokens_;
};
CaptionFeatures caption_features(const RunFolder& folder, const data::Dataset& dataset,
                                 const std::string& source_name, const CaptionEncoder& encoder);

}  // namespace pixart::train
