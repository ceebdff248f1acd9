// Images that a stage's sources lack (data::SourceConfig::draw), drawn before it begins.
#pragma once
#include "pixart/features/run_context.h"

namespace pixart::train {

// Draws them with the weights that the stage starts from and the sampler of its sample images, after store_prompts().
// All ranks call it together and take groups of images in turn; an image depends only on its number, the seed and the
// stage's name. What exists is kept, so that the work goes on after a stop. Throws UserError(kRequeue) if a rank was
// asked to stop.
void draw_missing_images(features::RunContext& run, const run::StageConfig& stage);

}  // namespace pixart::train
