// The content of a Trainer's checkpoint: model, ema and optimizer .safetensors, and state.json.
// checkpoint_folder.h keeps checkpoints safe on disk; checkpoint_writer.h saves them while training goes on.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "pixart/base/error.h"
#include "pixart/features/excluded_samples.h"
#include "pixart/nn/state_dict.h"
#include "pixart/run/checkpoint_folder.h"
#include "pixart/train/trainer.h"

namespace pixart::train {

// What a file of a checkpoint holds is not what was saved.
class DamagedCheckpoint : public UserError {
 public:
  explicit DamagedCheckpoint(const std::string& problem) : UserError(problem, ExitCode::kStorage) {}
};

// Facts about the run that a checkpoint holds in addition to the trainer's own state.
struct CheckpointFacts {
  double seconds = 0;                                   // of training so far
  int64_t threads = 0;                                  // of each rank; 0: unknown
  std::map<std::string, std::string> data = {};         // fingerprint of each source
  std::map<std::string, std::string> inputs = {};       // hash of each encoder and of what it started from
  std::map<std::string, std::string> metadata = {};     // of the weight files (architecture, ...)
  std::vector<features::ExcludedSample> excluded = {};  // by roll-backs before this step
};

// The live tensors that this rank writes. Rank 0 writes model, EMA and optimizer; with optimizer.shard, each
// rank writes its share of the optimizer ("optimizer-00002-of-00004"). All ranks call it together.
run::CheckpointContent checkpoint_content(Trainer& trainer, const nn::StateDict& model,
                                          const CheckpointFacts& facts);

// Stores the power EMAs of this step in `folder`, durably, for `pixart convert --ema-length`. All ranks call it together.
void store_power_emas(const std::filesystem::path& folder, Trainer& trainer, const nn::StateDict& model,
                      const CheckpointFacts& facts);

// Writes a checkpoint before it returns, and replaces an existing one of the same step. For one rank only.
void save_checkpoint(const std::filesystem::path& stage_folder, Trainer& trainer, const nn::StateDict& model,
                     const CheckpointFacts& facts);

// Restores model, EMA, optimizer and step, on any number of ranks. Reads only files that the manifest names, and
// compares what it reads with the manifest; rank 0 reads all. Throws DamagedCheckpoint if they differ: then model and
// trainer hold parts of it, and must be restored from another one.
// Throws UserError if the fingerprint of a source in `data`, or a hash in `inputs`, differs from the one in the
// checkpoint. (Checkpoints of older versions have no hashes.)
CheckpointFacts load_checkpoint(const std::filesystem::path& folder, Trainer& trainer, nn::StateDict& model,
                                const std::map<std::string, std::string>& data = {},
                                const std::map<std::string, std::string>& inputs = {});

// The facts of the newest checkpoint of a stage, good or not, or nothing if there is none that says them.
std::optional<CheckpointFacts> recorded_facts(const std::filesystem::path& stage_folder);

// Throws UserError(kNumerics) if a value of the state is not finite: such a state must not be saved.
void require_finite(Trainer& trainer);

}  // namespace pixart::train
