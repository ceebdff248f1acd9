// Where the weights of a stage start.
#pragma once
#include <map>
#include <string>

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

// Throw the errors of these functions that files, names and shapes tell. `state` is on the meta device.
void check_initial_vae(const features::RunContext& run, const run::StageConfig& stage,
                       const models::VaeConfig& config, nn::StateDict& state);
void check_initial_transformer(const features::RunContext& run, const run::StageConfig& stage,
                               const models::Transformer& model, nn::StateDict& state);

// Whether the weights come from an earlier stage of the run.
bool starts_from_stage(const run::RunConfig& config, const run::StageConfig& stage);

// The hash of the files that the stage starts from, under "init.from"; empty if it starts from random weights
// or from a stage.
std::map<std::string, std::string> initial_hashes(const features::RunContext& run,
                                                  const run::StageConfig& stage);

// The hash of the files of which a distilled stage makes its teacher, under "teacher"; empty for other stages.
std::map<std::string, std::string> teacher_hashes(const features::RunContext& run,
                                                  const run::StageConfig& stage);

}  // namespace pixart::train
