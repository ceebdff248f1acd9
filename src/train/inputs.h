// What is checked before step 1 of any stage.
#pragma once
#include <string>
#include <vector>

#include "pixart/features/run_context.h"
#include "pixart/run/run_folder.h"

namespace pixart::train {

// The stages of the run that have steps left, judged by the name of their newest checkpoint; `only` as in
// TrainOptions.
std::vector<run::StageConfig> stages_to_train(const run::RunFolder& folder, const run::RunConfig& config,
                                              const std::string& only);

// Opens every path that `stages` name: sources, encoders, initial weights, all checked as far as names, shapes and
// sizes tell, and the room on the disk for features and checkpoints. One UserError has all problems. Writes
// nothing.
void open_stages(features::RunContext& run, const std::vector<run::StageConfig>& stages);

// Compares the config with that of the run in the folder (run::check_run_folder()). If a key may not change, opens what
// `stages` read, too, so that the one UserError also has the contents that differ. Returns the keys that name another
// place than before.
std::vector<config::Change> compare_config(features::RunContext& run,
                                           const std::vector<run::StageConfig>& stages,
                                           const std::vector<std::string>& allowed);

// Compares what `stages` would read with what the stages that have begun read, by content. `moved`: the keys that
// name another place than before. A stage that is not finished needs the same
// content; content that only finished stages read may change for the keys in `allowed`. Throws UserError.
void compare_contents(features::RunContext& run, const std::vector<run::StageConfig>& stages,
                      const std::vector<config::Change>& moved, const std::vector<std::string>& allowed);

}  // namespace pixart::train
