// Chooses the parameters of a stage that are trained.
#pragma once
#include "pixart/nn/state_dict.h"
#include "pixart/run/run_config.h"

namespace pixart::run {

// The part of a model that is trained.
struct Trained {
  double share = 1;      // of the model's own parameters
  int64_t adapters = 0;  // parameters of LoRA adapters, in addition
};

struct ParameterCounts {
  int64_t model = 0, trained = 0;  // all without the adapters; the trained ones
  bool has_adapters = false;       // then only these are trained
  Trained trained_part() const;
};

// Adds adapters, whose output is zero at first, to the model of a stage with lora. Throws UserError if
// patterns of lora.targets match no layer.
void add_adapters(const StageConfig& stage, nn::StateDict& state);

// Freezes the parameters that stage.frozen names, or with lora all except the adapters. Returns, for people, how
// many are trained; "" if all are. Throws one UserError if patterns of frozen or optimizer.no_decay match no parameter, or if no
// parameter is left to train. Call it before anything costly.
std::string choose_trained(const StageConfig& stage, nn::StateDict& state);

}  // namespace pixart::run
