// The shapes of a source's images, for a stage with several that encodes them in its steps: the order of its samples
// depends on them.
#pragma once
#include <cstdint>
#include <vector>

#include "pixart/data/dataset.h"
#include "pixart/run/run_config.h"

namespace pixart::features {

struct ImageShapes {
  std::vector<uint8_t> buckets;           // of each row; 0 for rows that are rejected
  std::vector<data::Rejection> rejected;  // whose images have no size; ordered by row
};

// Reads the sizes of all images once, in parallel with a progress bar, and keeps them in <features>/<source>-sizes
// .safetensors; sizes of other images are read again. Several processes may call it. Throws UserError(kRequeue) if
// it was asked to stop.
ImageShapes image_shapes(const run::RunConfig& run, const run::StageConfig& stage,
                         const data::SourceConfig& source, const data::Dataset& dataset);

}  // namespace pixart::features
