// Which samples are left out after a bad step, and whether that can help.
#pragma once
#include <vector>

#include "pixart/features/excluded_samples.h"
#include "pixart/run/run_config.h"
#include "pixart/train/trainer.h"

namespace pixart::train {

// `suspects`: the samples of the step on all ranks. Those that are bad alone are to blame; if none is, the whole
// step is. They are returned by row, without from_position; `known` has those of earlier roll-backs. Throws
// UserError(kNumerics), which names samples and remedy, if the stage was rolled back bad_steps.most_roll_backs
// times already. Also if the step was bad before and is bad again with other samples, unless some of these are
// bad alone and some are not: then the cause is not the data.
std::vector<features::ExcludedSample> samples_to_blame(const run::StageConfig& stage, const StepResult& bad,
                                                       const std::vector<Suspect>& suspects,
                                                       const features::ExcludedSamples& known);

// "mine: a.png, mine: b.png and 3 more".
std::string name_samples(const std::vector<features::ExcludedSample>& samples);

}  // namespace pixart::train
