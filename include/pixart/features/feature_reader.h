// Micro-batches of a diffusion stage, read from feature sets.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "pixart/data/batch.h"
#include "pixart/features/stage_data.h"

namespace pixart::features {

class DamagedFeatures;  // damaged_features.h
class CaptionBuffers;   // src/features/caption_buffers.h
std::shared_ptr<CaptionBuffers> make_caption_buffers();

// Reads micro-batches of a diffusion stage from feature sets. All random choices (caption, mirrored or not)
// depend only on seed and position. With `damaged`, another row of the same source and shape replaces a
// damaged row, and the batch's plan names it; without `damaged`, a damaged row is an error.
struct FeatureReader {
  StageParts parts;
  uint64_t seed = 0;
  bool with_labels = false, with_captions = false, with_sizes = false, mirror = false, pinned = false;
  int64_t max_tokens = 0;
  int64_t resolution = 0;  // of the aspect buckets; 0: squares
  std::shared_ptr<DamagedFeatures> damaged = {};
  std::shared_ptr<const data::ExcludedRows> excluded = {};  // replace no damaged row; null: none
  std::shared_ptr<CaptionBuffers> caption_buffers = make_caption_buffers();  // of batches that are done
  data::Batch operator()(const data::MicroBatch& plan) const;
};

// The index of the caption for a position, drawn by weight.
size_t draw_caption(const std::vector<data::Caption>& captions, uint64_t seed, int64_t position);

}  // namespace pixart::features
