// What is made to look at a step besides its numbers. A step that was saved gets it after that, so a run that
// is continued at this step makes what is missing.
#pragma once
#include "pixart/train/metrics.h"
#include "pixart/train/run_config.h"
#include "pixart/train/run_folder.h"

namespace pixart::train {

struct Looks {
  bool validation = false, pictures = false;
  bool any() const { return validation || pictures; }
};

// Of `step` (done steps, from 1) as the stage is configured.
Looks planned_looks(const StageConfig& stage, int64_t step);

// Those of a step that the run folder does not hold.
Looks missing_looks(const RunFolder& folder, const StageConfig& stage, int64_t step,
                    const MetricSink& metrics);

std::filesystem::path picture_file(const RunFolder& folder, const StageConfig& stage, int64_t step);

}  // namespace pixart::train
