// The control images that a stage draws with.
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/features/latent_codec.h"
#include "pixart/features/stage_data.h"
#include "stage_prompts.h"

namespace pixart::train {

// [B, L, side, side], normalised, on the CPU: for each image of `prompts` the control of the row that its caption is of, or
// of rows that are evenly spread over the part. A row without latents of this side is replaced by the next one that has
// them. Undefined if the part has no control, or no such row.
at::Tensor control_to_draw(const features::StagePart& part, const features::LatentCodec& codec,
                           const Prompts& prompts, int64_t side);

}  // namespace pixart::train
