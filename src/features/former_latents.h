// The latents of a set whose source has changed, by the keys of its samples.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/data/feature_update.h"
#include "pixart/data/latent_set.h"

namespace pixart::features {

struct FormerLatent {
  data::LatentSet::Item item;
  uint32_t checksum = 0;    // of the encoded image
  int64_t batch = 0;        // images of the batch in which it was encoded: its last bits may depend on that
  at::Tensor moments = {};  // [V, 2, L, h, w] float32
};

class FormerLatents {
 public:
  // Of a complete set. `batch`: the largest batch that the autoencoder got.
  FormerLatents(const std::filesystem::path& folder, const std::string& kind, int64_t batch);
  // The latent of a sample if it was made from the image that the source has now. Warns about a damaged one.
  // Throws MachineFault. May be called from several threads.
  std::optional<FormerLatent> find(const data::Dataset& dataset, int64_t row) const;

 private:
  data::LatentSet set_;
  data::FeatureKeys keys_;
  std::vector<uint8_t> batches_;  // by row; 0: it was not encoded
};

}  // namespace pixart::features
