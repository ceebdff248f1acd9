// Which parameters of a stage are trained.
#pragma once
#include "pixart/nn/state_dict.h"
#include "pixart/train/flops.h"
#include "pixart/train/run_config.h"

namespace pixart::train {

struct ParameterCounts {
  int64_t model = 0, trained = 0;  // numbers, without the adapters; that are trained
  bool has_adapters = false;       // then these are what is trained
  Trained trained_part() const;
};

// Gives the model of a stage with lora its adapters, zero so far. Throws one UserError if a pattern of
// lora.targets matches nothing.
void add_adapters(const StageConfig& stage, nn::StateDict& state);

// Takes the parameters that stage.frozen names, or with lora all but the adapters, out of training and says
// what is left. Throws one UserError if a pattern of frozen or of optimizer.no_decay matches nothing, or if
// nothing is left. To be called before anything costly.
void choose_trained(const StageConfig& stage, nn::StateDict& state);

}  // namespace pixart::train
