// Saves the inputs of a bad step, so that the cause can be found.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "pixart/nn/state_dict.h"
#include "pixart/train/trainer.h"

namespace pixart::train {

struct BadStepPlace {
  std::string stage;
  uint64_t seed;  // of the stage: with the positions, it determines every random number
  int rank;
};

// Writes <folder>/<stage>-step-00000012/rank-0.json (positions and rows of each micro-batch, losses, names of
// the gradients) and rank-0.safetensors (the micro-batches as read); the first bad step of a run also saves
// the weights, model.safetensors. A failing disk is only a line in the log.
void write_bad_step(const std::filesystem::path& folder, const BadStepPlace& place, const BadStep& bad,
                    const nn::StateDict& model);

}  // namespace pixart::train
