// What is kept of a step whose loss or gradient was not finite, so that it can be looked into.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "pixart/nn/state_dict.h"
#include "pixart/train/trainer.h"

namespace pixart::train {

struct BadStepPlace {
  std::string stage;
  uint64_t seed;  // the stage's: with the positions, the key of every random number
  int rank;
};

// Writes <folder>/<stage>-step-00000012/rank-0.json (positions and rows of each micro-batch, losses, names of
// the gradients) and rank-0.safetensors (the micro-batches as read); the first time also the weights,
// model.safetensors. A disk that fails is a line in the log.
void write_bad_step(const std::filesystem::path& folder, const BadStepPlace& place, const BadStep& bad,
                    const nn::StateDict& model);

}  // namespace pixart::train
