// `pixart train`: trains the stages of a run file in order, and continues a run that was interrupted.
#pragma once
#include <string>
#include <vector>

#include "pixart/run/run_config.h"

namespace pixart::train {

struct TrainOptions {
  std::string only_stage;                    // "": all stages
  std::vector<std::string> allowed_changes;  // config keys that may differ from the run's own run.yaml
  // Stages that begin again at step 0 if none of their checkpoints can be used; other stages then end the
  // run.
  std::vector<std::string> restart_stages;
  // A stage that makes this step ends the run as a signal would: saved, with ExitCode::kRequeue. 0: none.
  int64_t stop_at_step = 0;
};

// Opens everything that the stages with steps left would read, and compares it with what the run began with.
// Trains nothing, writes nothing and needs no GPU. Throws one UserError with all problems.
void check(const run::RunConfig& config, const TrainOptions& options = {});

// Throws UserError, with ExitCode::kRequeue if a signal asked to stop (stop_signals()) and the state was
// saved.
void train(const run::RunConfig& config, const TrainOptions& options = {});

}  // namespace pixart::train
