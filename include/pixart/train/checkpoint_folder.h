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

// Deletes what killed saves and deletions left in `stage_folder`. Only for its owner.
void remove_checkpoint_leftovers(const std::filesystem::path& stage_folder);

// All under `stage_folder`, by rising step; what has another name, and files, are ignored. A link counts,
// wherever it leads. Throws UserError(kStorage) where the folder is there and cannot be listed.
std::vector<Checkpoint> list_checkpoints(const std::filesystem::path& stage_folder);

enum class Verdict {
  kGood,
  kDamaged,     // what was read is not what was saved, or is not there
  kUnreadable,  // the system did not let us read (no permission, a failing disk or file server): it may be
                // good
};

struct Verification {
  Verdict verdict = Verdict::kGood;
  std::string text = {};                  // what is wrong, naming file and tensor
  std::vector<std::string> unnamed = {};  // of a good one: entries that its manifest does not name
  bool is_good() const { return verdict == Verdict::kGood; }
};

// Checks manifest, sizes and hashes of all files that the manifest names, or of `only`. Without LibTorch.
Verification verify_checkpoint(const std::filesystem::path& folder, const std::string& only = "");

struct CheckpointSearch {
  std::optional<Checkpoint> newest;       // that is good
  std::vector<std::string> unnamed = {};  // entries in it that nothing reads
  std::vector<std::string> damaged = {};  // newer ones, the newest first: "step-00000100: what is wrong"
};

// Falls back over damaged ones only, which are reported in the log; `only` as above. Throws
// UserError(kStorage) at the first that cannot be read: it may be good.
CheckpointSearch find_checkpoint(const std::filesystem::path& stage_folder, const std::string& only = "");

// The same where nobody asks about the damaged ones.
std::optional<Checkpoint> newest_good_checkpoint(const std::filesystem::path& stage_folder,
                                                 const std::string& only = "");

// Renames a checkpoint to .bad-<name>-1 (or -2, ...) in the same folder, durably, and returns that. Nothing
// of ours reads or deletes it there. Throws UserError(kStorage).
std::filesystem::path set_aside(const std::filesystem::path& folder);

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

// Durable when it returns. A good checkpoint of the same step is replaced; one that is not good is set aside.
// Throws UserError(kStorage); then the other checkpoints are as they were.
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

// Deletes all good ones but the newest `last`, and those to be kept for ever. Good are those of the steps
// `known_good` whose files have their size, and those that verify, which are added to it. Of the others,
// those that are newer than the kept ones and those that cannot be read stay, and damaged ones are set aside.
// All that is reported in the log, as is what cannot be deleted.
void prune_checkpoints(const std::filesystem::path& stage_folder, const CheckpointKeeping& keeping,
                       std::set<int64_t>& known_good);

}  // namespace pixart::train
