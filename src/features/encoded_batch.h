// Captions on the way from the text encoder to the memory of the host.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <optional>
#include <string>
#include <vector>

#include "pixart/data/caption_set.h"
#include "pixart/features/caption_encoder.h"

namespace pixart::features {

// Encodes captions for a feature set. A GPU pads them to the longest one only, rounds the features to the
// stored type and copies them to page-locked memory; nobody waits for it before take(). (float8 is made of
// the encoder's own numbers when the shard is written, because its scale must be of the same ones.)
class EncodedBatch {
 public:
  EncodedBatch(const CaptionEncoder& encoder, const std::vector<std::string>& captions,
               data::CaptionDtype dtype);
  // Waits for the device. [length, C] of each caption, on the host.
  std::vector<at::Tensor> take() const;
  int64_t num_cut() const { return num_cut_; }

 private:
  at::Tensor features_;  // [B, T, C] on the host
  std::vector<int64_t> lengths_;
  std::optional<c10::Event> arrival_;  // of features_, from a GPU
  int64_t num_cut_ = 0;
};

}  // namespace pixart::features
