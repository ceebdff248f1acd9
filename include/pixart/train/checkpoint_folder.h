// Checkpoints as folders, whatever is in them: <stage folder>/step-00001000/{manifest.json, state.json,
// *.safetensors}.
//
// A checkpoint is written to a temporary folder, hashed meanwhile, fsynced and renamed; old ones are deleted
// only after that. It is believed only after its hashes were verified, else the one before is used. There is
// no pointer file. The manifest holds the size of each file, SHA-256 of its header and of each tensor in it,
// and its own.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::train {

struct Checkpoint {
  std::filesystem::path folder;
  int64_t step = 0;
};

// All under `stage_folder`, by rising step; folders with other names are ignored.
std::vector<Checkpoint> list_checkpoints(const std::filesystem::path& stage_folder);

// Checks manifest and hashes, without LibTorch. Returns "" or what is wrong, naming file and tensor.
std::string verify_checkpoint(const std::filesystem::path& folder);

// The newest that verifies; broken ones are reported in the log.
std::optional<Checkpoint> newest_good_checkpoint(const std::filesystem::path& stage_folder);

struct CheckpointFile {
  std::string name;  // without folder and ".safetensors"
  std::vector<formats::NamedTensor> tensors;
};

struct CheckpointContent {
  int64_t step = 0;
  std::vector<CheckpointFile> files = {};
  std::map<std::string, std::string> metadata = {};  // of each file (architecture, ...)
  std::string state = {};                            // state.json
};

// Several ranks that write one checkpoint together, into one folder of a file system that all see.
struct CheckpointShares {
  int rank = 0, count = 1;
  double timeout_seconds = 600;                 // that rank 0 waits for the others' shares
  std::function<void()> before_commit = [] {};  // on rank 0; throws if the folder is not ours any more
};

// Durable when it returns. A checkpoint of the same step is replaced. Throws UserError(kStorage); then the
// other checkpoints are as they were.
//
// With several shares, rank 0 writes its own files, takes up those of the others and commits; theirs are
// durable when this returns on them, which is not yet the checkpoint.
void write_checkpoint(const std::filesystem::path& stage_folder, const CheckpointContent& content,
                      const CheckpointShares& shares = {});

enum class OnSaveError { kContinue, kStop };
inline EnumWords<OnSaveError> enum_words(OnSaveError) {
  return {{"continue", OnSaveError::kContinue}, {"stop", OnSaveError::kStop}};
}

struct CheckpointKeeping {
  int64_t last = 2;
  int64_t every = 0;                // 0: none
  std::vector<int64_t> steps = {};  // beside
  bool forever(int64_t step) const;
};

// Deletes all but the newest `last` good ones, what is newer than these, and those to be kept for ever. Good
// are those of the steps `known_good` whose files have their size, and those that verify, which are added to
// it. What cannot be deleted is reported in the log.
void prune_checkpoints(const std::filesystem::path& stage_folder, const CheckpointKeeping& keeping,
                       std::set<int64_t>& known_good);

}  // namespace pixart::train
