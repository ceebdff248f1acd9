// `pixart train`: the stages of a run file, in order, continuing where the run folder stands.
#pragma once
#include <string>
#include <vector>

#include "pixart/train/run_config.h"

namespace pixart::train {

struct TrainOptions {
  std::string only_stage;                    // "": all stages
  std::vector<std::string> allowed_changes;  // config keys that may differ from the run's own run.yaml
  // Stages that begin again at step 0 if none of their checkpoints can be used; else the run ends there.
  std::vector<std::string> restart_stages;
};

// Throws UserError; with ExitCode::kRequeue if a stop was asked for (stop_signals()) and the state
// was saved.
void train(const RunConfig& config, const TrainOptions& options = {});

}  // namespace pixart::train
