// Which parameters of a stage are trained.
#pragma once
#include "pixart/nn/state_dict.h"
#include "pixart/train/run_config.h"

namespace pixart::train {

// Takes the parameters that stage.frozen names out of training and says what is left. Throws one UserError if
// a pattern of frozen or of optimizer.no_decay matches nothing, or if nothing is left. To be called before
// anything costly.
void choose_trained(const StageConfig& stage, nn::StateDict& state);

}  // namespace pixart::train
