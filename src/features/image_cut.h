// An image of a source, cut to the shape that a stage trains on: for latents that are stored and for those that are
// made in the step.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "pixart/data/control_image.h"
#include "pixart/data/dataset.h"
#include "pixart/data/training_shapes.h"
#include "pixart/data/transform.h"
#include "pixart/run/run_config.h"

namespace pixart::features {

struct CutImage {
  Image image;
  int height = 0, width = 0;  // of the source image
  uint8_t bucket = 0;         // among the stage's shapes
  uint32_t checksum = 0;      // of the encoded image (formats::ReducedImage)
};

struct ImageCutter {
  explicit ImageCutter(const run::StageConfig& stage);

  // Reads a row's image. Without `place` the crop is of the centre. Throws data::BadSample.
  CutImage cut(const data::Dataset& dataset, int64_t row,
               const std::optional<data::CropPlace>& place = {}) const;

  data::TrainingShapes shapes;
  data::ControlImage control = {};  // made of the image in its place
};

// The shape of a row's image of this size.
uint8_t bucket_of(const data::TrainingShapes& shapes, const data::Dataset& dataset, int64_t row, int height,
                  int width);

}  // namespace pixart::features
