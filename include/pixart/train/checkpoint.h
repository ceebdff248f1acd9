// Checkpoints: <stage folder>/step-00001000/{manifest.json, model, ema, optimizer .safetensors, state.json}.
// A checkpoint is written to a temporary folder, hashed, fsynced and renamed; it is believed only after its
// hashes were verified, else the one before is used. There is no pointer file.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "pixart/nn/state_dict.h"
#include "pixart/train/trainer.h"

namespace pixart::train {

struct Checkpoint {
  std::filesystem::path folder;
  int64_t step = 0;
};

// All under `stage_folder`, by rising step; folders with other names are ignored.
std::vector<Checkpoint> list_checkpoints(const std::filesystem::path& stage_folder);

// Checks manifest and hashes. Returns "" or what is wrong.
std::string verify_checkpoint(const std::filesystem::path& folder);

// The newest that verifies; broken ones are reported in the log.
std::optional<Checkpoint> newest_good_checkpoint(const std::filesystem::path& stage_folder);

// `metadata` goes into the weight files (architecture, ...). Saving a step that exists replaces it.
void save_checkpoint(const std::filesystem::path& stage_folder, Trainer& trainer, const nn::StateDict& model,
                     const std::map<std::string, std::string>& metadata, double seconds);

// Restores model, average, optimizer and step.
struct LoadedCheckpoint {
  double seconds = 0;  // trained so far
  std::map<std::string, std::string> metadata;
};
LoadedCheckpoint load_checkpoint(const std::filesystem::path& folder, Trainer& trainer, nn::StateDict& model);

// Deletes all but the newest `keep_last` and those in `keep_steps`.
void prune_checkpoints(const std::filesystem::path& stage_folder, int64_t keep_last,
                       const std::vector<int64_t>& keep_steps);

}  // namespace pixart::train
