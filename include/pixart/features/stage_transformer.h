// The transformer of a stage, as the run file describes it.
#pragma once
#include <optional>

#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"
#include "pixart/run/run_config.h"

namespace pixart::features {

// The config of the stage's transformer. `sizes` are those of the labels or captions that its objective
// reads.
models::TransformerConfig transformer_config(const run::RunConfig& run, const run::StageConfig& stage,
                                             const models::VaeConfig& vae, models::ConditionSizes sizes);

// Its sizes, without those that follow from the latents.
models::TransformerShape shape_of(const run::TransformerSizeConfig& config);

// With muP, the base of its widths.
std::optional<models::WidthBase> width_base(const run::TransformerSizeConfig& config);

// How the transformer computes in this precision. TF32 is not a property of the model: see nn::AllowTf32.
models::Execution execution_in(run::Precision precision);

}  // namespace pixart::features
