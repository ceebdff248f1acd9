// Where the weights of a stage start.
#pragma once
#include "pixart/features/run_context.h"
#include "pixart/formats/weights.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"
#include "pixart/nn/state_dict.h"

namespace pixart::train {

// Set the weights of step 0 as configured in `stage.init`: random, an earlier stage's EMA weights, a file or
// a folder. Return the metadata of the stage's weight files. Throw UserError.
formats::Metadata initialize_vae(const features::RunContext& run, const run::StageConfig& stage,
                                 const models::VaeConfig& config, nn::StateDict& state);
formats::Metadata initialize_transformer(const features::RunContext& run, const run::StageConfig& stage,
                                         const models::Transformer& model, nn::StateDict& state);

}  // namespace pixart::train
