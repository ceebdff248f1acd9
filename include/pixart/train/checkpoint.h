// What a checkpoint of a Trainer holds: model, ema and optimizer .safetensors, state.json. How it is kept
// safe is in checkpoint_folder.h, saving beside the training in checkpoint_writer.h.
#pragma once
#include <filesystem>
#include <map>
#include <string>

#include "pixart/nn/state_dict.h"
#include "pixart/train/checkpoint_folder.h"
#include "pixart/train/trainer.h"

namespace pixart::train {

// The live tensors. `metadata` goes into the weight files (architecture, ...).
CheckpointContent checkpoint_content(Trainer& trainer, const nn::StateDict& model,
                                     const std::map<std::string, std::string>& metadata, double seconds);

// Writes them at once. Saving a step that exists replaces it.
void save_checkpoint(const std::filesystem::path& stage_folder, Trainer& trainer, const nn::StateDict& model,
                     const std::map<std::string, std::string>& metadata, double seconds);

// Restores model, average, optimizer and step.
struct LoadedCheckpoint {
  double seconds = 0;  // trained so far
  std::map<std::string, std::string> metadata;
};
LoadedCheckpoint load_checkpoint(const std::filesystem::path& folder, Trainer& trainer, nn::StateDict& model);

}  // namespace pixart::train
