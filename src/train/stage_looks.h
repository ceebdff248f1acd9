// Validation, sample images and metrics of a step. They are made after the step was saved, so a run that continues at
// this step makes the missing ones.
#pragma once
#include "pixart/run/metrics.h"
#include "pixart/run/run_config.h"
#include "pixart/run/run_folder.h"

namespace pixart::train {

struct Looks {
  bool validation = false, images = false, metrics = false;
  bool any() const { return validation || images || metrics; }
};

// The looks that the config plans after `step` steps.
Looks planned_looks(const run::StageConfig& stage, int64_t step);

// The planned looks that are missing in the run folder.
Looks missing_looks(const run::RunFolder& folder, const run::StageConfig& stage, int64_t step,
                    const run::MetricSink& metrics);

std::filesystem::path sample_file(const run::RunFolder& folder, const run::StageConfig& stage, int64_t step);
// The card of the scores.
std::filesystem::path card_file(const run::RunFolder& folder, const run::StageConfig& stage, int64_t step);

}  // namespace pixart::train
