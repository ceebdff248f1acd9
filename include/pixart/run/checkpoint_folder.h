// Checkpoints as folders, independent of their content: <stage folder>/step-00001000/{manifest.json,
// state.json, *.safetensors}. A checkpoint is written to a temporary folder and hashed meanwhile, then
// fsynced and renamed; old ones are deleted only after that. It is used only after its hashes have been
// verified; otherwise the checkpoint before it is used. The newest folder is found by its name, not by a
// pointer file. The manifest holds the size of each file, the SHA-256 of its header and of each tensor in it,
// and the SHA-256 of the manifest itself.
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
#include "pixart/base/rule.h"
#include "pixart/formats/tensor_file.h"

namespace pixart::run {

struct Checkpoint {
  std::filesystem::path folder;
  int64_t step = 0;
};

// Deletes what interrupted saves and deletions left in `stage_folder`. Only the owner of the run folder may
// call it.
void remove_checkpoint_leftovers(const std::filesystem::path& stage_folder);

// All checkpoints in `stage_folder`, sorted by step. Files, and folders with other names, are ignored; a
// symbolic link counts whatever its target is. Throws UserError(kStorage) if the folder exists and cannot be
// listed.
std::vector<Checkpoint> list_checkpoints(const std::filesystem::path& stage_folder);

// The newest one whose manifest does not say another step than its name, as in a copy. Nothing else is checked.
std::optional<Checkpoint> newest_named_checkpoint(const std::filesystem::path& stage_folder);

enum class Verdict {
  kGood,
  kDamaged,     // the content differs from what was saved, or is missing
  kUnreadable,  // reading failed (no permission, a failing disk or file server): it may be good
};

struct Verification {
  Verdict verdict = Verdict::kGood;
  std::string text = {};                  // what is wrong, naming file and tensor
  std::vector<std::string> unnamed = {};  // if it is good: entries that its manifest does not name
  bool is_good() const { return verdict == Verdict::kGood; }
};

// Checks manifest, sizes and hashes of all files that the manifest names, or of the file `only`. Does not
// need LibTorch.
Verification verify_checkpoint(const std::filesystem::path& folder, const std::string& only = "");

struct CheckpointSearch {
  std::optional<Checkpoint> newest;       // the newest good one
  std::vector<std::string> unnamed = {};  // entries in it that its manifest does not name
  std::vector<std::string> damaged = {};  // newer ones, the newest first: "step-00000100: what is wrong"
};

// The newest good checkpoint. Passes over damaged ones only, and reports them in the log; `only` as above.
// Throws UserError(kStorage) at the first one that cannot be read, because it may be good.
CheckpointSearch find_checkpoint(const std::filesystem::path& stage_folder, const std::string& only = "");

// The same by manifests and sizes alone, for a caller that compares each tensor with the manifest when it reads
// it: a checkpoint may be hundreds of gigabytes, and need not be hashed twice.
CheckpointSearch find_unread_checkpoint(const std::filesystem::path& stage_folder);

// The same for callers that do not need the damaged ones.
std::optional<Checkpoint> newest_good_checkpoint(const std::filesystem::path& stage_folder,
                                                 const std::string& only = "");

// Renames a checkpoint to .bad-<name>-1 (or -2, ..., or with another prefix) in the same folder, durably, and
// returns the new path. No part of pixart reads or deletes it there. Throws UserError(kStorage).
std::filesystem::path set_aside(const std::filesystem::path& folder, const std::string& prefix = "bad");

struct CheckpointFile {
  std::string name;  // without folder and ".safetensors"
  std::vector<formats::NamedTensor> tensors;
};

struct CheckpointContent {
  int64_t step = 0;
  std::vector<CheckpointFile> files = {};
  std::map<std::string, std::string> metadata = {};  // of each file (architecture, ...)
  std::string state = {};                            // state.json
  std::string refusal = {};  // why it must not be kept, e.g. metrics of its steps are not durable; ""
};

// For several ranks that write one checkpoint together, into one folder of a file system that they share.
struct CheckpointShares {
  int rank = 0, count = 1;
  double timeout_seconds = 600;                 // how long rank 0 waits for the others' shares
  std::function<void()> before_commit = [] {};  // on rank 0; throws if another process owns the folder
};

// Writes a checkpoint, which is durable when the function returns. A good checkpoint of the same step is
// replaced; one that is not good is set aside. Throws UserError(kStorage); then the other checkpoints are
// unchanged. With several shares, rank 0 writes its own files, adds those of the other ranks and commits. On
// the other ranks the function returns when their own files are durable; the checkpoint may not be complete
// then.
void write_checkpoint(const std::filesystem::path& stage_folder, const CheckpointContent& content,
                      const CheckpointShares& shares = {});

enum class OnSaveError { kContinue, kStop };
inline EnumWords<OnSaveError> enum_words(OnSaveError) {
  return {{"continue", OnSaveError::kContinue}, {"stop", OnSaveError::kStop}};
}

// Which checkpoints of a stage are kept.
struct CheckpointKeeping {
  int64_t keep_last = 2;
  int64_t keep_every = 0;  // multiples of it are kept for ever; 0: none
  std::vector<int64_t> keep_steps = {};
  bool forever(int64_t step) const;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("keep_last", s.keep_last, "Number of newest checkpoints of the stage that are kept, at least two.",
      in_range(2, kMostSteps).free());
    v("keep_every", s.keep_every, "Save every N steps as well and never delete these checkpoints; 0: none.",
      in_range(0, kMostSteps).free());
    v("keep_steps", s.keep_steps, "Steps whose checkpoints are saved and never deleted.",
      in_range(1, kMostSteps).free());
  }
};

// Deletes all good checkpoints except the newest `last` and those that are kept for ever. A checkpoint is
// good if its step is in `known_good` and its files have the right sizes, or if it verifies; then its step is
// added to `known_good`. Checkpoints that are newer than the kept ones, or cannot be read, stay; damaged ones
// are set aside. The log reports all this, and every checkpoint that cannot be deleted.
void prune_checkpoints(const std::filesystem::path& stage_folder, const CheckpointKeeping& keeping,
                       std::set<int64_t>& known_good);

}  // namespace pixart::run
