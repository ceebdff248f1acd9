// What the samples of a diffusion stage cost, for its telemetry.
#pragma once
#include <vector>

#include "pixart/features/run_context.h"
#include "pixart/features/stage_data.h"
#include "pixart/models/transformer.h"
#include "pixart/models/vae.h"
#include "pixart/run/trained_parameters.h"
#include "stage_model.h"

namespace pixart::train {

struct SampleSizes {
  models::VaeConfig vae;
  models::ConditionSizes condition;
  int64_t caption_tokens = 0;  // of a mean caption
};

// A sample at each of the stage's resolutions.
std::vector<models::TransformerWork> works_of_samples(const features::RunContext& run,
                                                      const run::StageConfig& stage,
                                                      const SampleSizes& sizes);

// Adds facts and, where steps differ, the work of each to `result`, whose order of samples is known.
void count_work(const run::StageConfig& stage, const run::ParameterCounts& counts,
                const features::StageParts& parts, const std::vector<models::TransformerWork>& works,
                StageModel& result);

}  // namespace pixart::train
