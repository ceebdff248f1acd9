// What the sample images of a diffusion stage show.
#pragma once
#include <string>
#include <vector>

#include "pixart/features/prompt_features.h"
#include "pixart/features/run_context.h"
#include "pixart/models/transformer.h"

namespace pixart::train {

// The conditions of the stage's sample images, as far as its objective reads them.
struct Prompts {
  models::ConditionSizes sizes = {};
  models::Condition to_draw = {};
  std::vector<std::string> texts = {};  // one for each image
  std::vector<int64_t> rows = {};       // of the first source, that the texts are captions of; empty: of none
};

// Keeps the features of captions in <run>/prompts.
features::PromptFeatures prompt_features(features::RunContext& run);

// Reads the features of captions from <run>/prompts; those that are missing there it encodes.
Prompts prompts_of(features::RunContext& run, const run::StageConfig& stage);

// Throws the errors of prompts_of() and of held-out samples that the sources and the run file tell, before
// anything is encoded.
void check_prompts(features::RunContext& run, const run::StageConfig& stage);

// Throws UserError if the held-out samples of a stage that reads labels have other classes.
void require_held_out_classes(features::RunContext& run, const run::StageConfig& stage);

// Rank 0 encodes the prompts of a text stage, and those of images that its sources lack, that are not in <run>/prompts, so that the other ranks need no
// text encoder for them. All ranks call it together. Throws UserError(kRequeue) if one was asked to stop.
void store_prompts(features::RunContext& run, const run::StageConfig& stage);

}  // namespace pixart::train
