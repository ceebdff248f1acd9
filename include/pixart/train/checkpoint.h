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

// What a checkpoint says of the run beside the trainer's own state.
struct CheckpointFacts {
  double seconds = 0;                                // trained so far
  std::map<std::string, std::string> data = {};      // fingerprint of each source
  std::map<std::string, std::string> metadata = {};  // of the weight files (architecture, ...)
};

// The live tensors that this rank writes: rank 0 model, average and optimizer; with optimizer.shard, each
// rank its share of the optimizer ("optimizer-00002-of-00004"). On all ranks together.
CheckpointContent checkpoint_content(Trainer& trainer, const nn::StateDict& model,
                                     const CheckpointFacts& facts);

// Writes them at once. Saving a step that exists replaces it. With one rank.
void save_checkpoint(const std::filesystem::path& stage_folder, Trainer& trainer, const nn::StateDict& model,
                     const CheckpointFacts& facts);

// Restores model, average, optimizer and step, on any number of ranks, from the files that the manifest
// names and no others. Throws UserError if a source of `data`
// has another fingerprint than when the checkpoint was saved.
CheckpointFacts load_checkpoint(const std::filesystem::path& folder, Trainer& trainer, nn::StateDict& model,
                                const std::map<std::string, std::string>& data = {});

// Throws UserError(kNumerics) if a number of the state is not finite: such a state is not worth keeping.
void require_finite(Trainer& trainer);

}  // namespace pixart::train
