// Micro-batches of a diffusion stage, read from feature sets, or from the sources for a BatchEncoder.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "pixart/data/batch.h"
#include "pixart/data/training_shapes.h"
#include "pixart/features/stage_data.h"

namespace pixart::features {

class DamagedFeatures;  // damaged_features.h
class CaptionBuffers;   // src/features/caption_buffers.h
class CaptionEncoder;   // caption_encoder.h
class StageImages;      // stage_images.h
std::shared_ptr<CaptionBuffers> make_caption_buffers();

// Reads micro-batches of a diffusion stage. All random choices (caption, mirrored or not, place of a crop) depend
// only on seed and position, and are the same for stored features and for `images` and `tokenizer` in their place.
// With `damaged`, another row of the same source and shape replaces a damaged row, and the batch's plan names it;
// without `damaged`, a damaged row is an error.
struct FeatureReader {
  StageParts parts;
  uint64_t seed = 0;
  bool with_labels = false, with_captions = false, with_sizes = false, mirror = false, pinned = false;
  int64_t max_tokens = 0;
  run::AlignmentConfig alignment = {};  // of the stage: steps without it do not read what a teacher sees
  std::shared_ptr<const data::TrainingShapes> shapes = {};  // of the stage; null: squares
  std::shared_ptr<DamagedFeatures> damaged = {};
  std::shared_ptr<const data::ExcludedRows> excluded = {};  // replace no damaged row; null: none
  std::shared_ptr<CaptionBuffers> caption_buffers = make_caption_buffers();  // of batches that are done
  // In place of feature sets: images and token ids, which a BatchEncoder encodes. Null: the parts have the sets.
  std::shared_ptr<const StageImages> images = {};
  std::shared_ptr<const CaptionEncoder> tokenizer = {};  // loaded
  data::Batch operator()(const data::MicroBatch& plan) const;
};

// The index of the caption for a position, drawn by weight.
size_t draw_caption(const std::vector<data::Caption>& captions, uint64_t seed, int64_t position);

}  // namespace pixart::features
