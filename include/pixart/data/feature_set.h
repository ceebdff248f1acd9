// Features of a source, computed once and stored in a folder of shards with an index and a manifest.
//
//   shard-00000.safetensors ...   written one by one, each whole or absent
//   index.safetensors             where each row is, and its checksum; small enough to be kept in memory
//   quarantine.jsonl              rows without features, and why (latents)
//   keys.safetensors              which sample or caption each feature is of; only for updates
//   manifest.json                 inputs of the features, and the hashes of shards and index; written
//                                 last
//
// A shard holds a fixed range of items, so the bytes of the set do not depend on which processes made it, in
// which order, or how often they were interrupted. Several processes, also of several machines that share the
// folder, may make one set together: each claims a shard (base/claim.h). A process that finds no free shard
// makes one that a slow or silent process has claimed, too; the first of both to publish it wins. Whole shards
// are made twice, not shared in pieces: a record may depend in its last bits on those that are encoded with it.
//
// The index is checked by its SHA-256 when a set is opened, and each record of a shard by its CRC32C when it
// is read; check_feature_set() checks a whole set. Sets of older versions have neither hash nor checksums;
// mend_feature_set() adds them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pixart/base/claim.h"
#include "pixart/base/error.h"

namespace pixart::data {

// Something that features depend on.
struct FeatureInput {
  std::string name, value;
  // The value that earlier versions wrote for the same input, if it was another one: accepted, with a
  // warning.
  std::string former = {};
  std::string hint = {};    // a sentence for the error when features were made with another value
  bool of_samples = false;  // another value concerns some samples only (feature_update.h)
  bool operator==(const FeatureInput&) const = default;
};
using FeatureInputs = std::vector<FeatureInput>;  // in the order in which differences are reported
// A damaged part of a shard; its sample is rejected. (A failing disk is reported as UserError(kStorage).)
class DamagedRecord : public UserError {
 public:
  DamagedRecord(std::filesystem::path shard, uint64_t offset, const std::string& fault);
  const std::filesystem::path& shard() const { return shard_; }
  uint64_t offset() const { return offset_; }  // in the file, bytes

 private:
  std::filesystem::path shard_;
  uint64_t offset_;
};

struct FeatureShard {
  std::string file, sha256;
  uint64_t bytes = 0;
  int64_t items = 0;  // items in its range; some may be rejected
};

struct FeatureManifest {
  std::string kind;  // "latents" or "captions"
  std::string source;
  int64_t rows = 0, rejected = 0;
  FeatureInputs inputs = {};
  std::vector<FeatureShard> shards = {};
  std::string index_sha256 = {};  // empty: made by a version that wrote no hash
  std::string keys_sha256 = {};   // empty: made by a version that wrote no keys
};

// After the name of a set's folder: the set that will take its place, and the one that had it (feature_update.h).
inline constexpr const char* kUpdateEnding = ".update";
inline constexpr const char* kFormerEnding = ".former";

bool has_feature_set(const std::filesystem::path& folder);  // whether the folder has a manifest
// Throws UserError: kStorage if it is damaged, kBadInput if another version wrote it.
FeatureManifest read_feature_manifest(const std::filesystem::path& folder);

// The files of the shards. Throws one UserError(kStorage) that names all files that are missing or have another
// size.
std::vector<std::filesystem::path> shard_files(const std::filesystem::path& folder,
                                               const FeatureManifest& manifest);

// Throws one UserError that names every input in which the set differs from `wanted`. For a set with a former
// value, logs a warning that says how to renew it.
void require_inputs(const std::filesystem::path& folder, const FeatureManifest& manifest,
                    const FeatureInputs& wanted);

using ShardWriter = std::function<void(const std::filesystem::path& file)>;

// How a set is made.
struct FeatureWork {
  std::filesystem::path folder;
  FeatureManifest manifest;  // without shards
  int64_t items = 0, items_per_shard = 1;
  // Computes items [first, last) and returns the function that writes them to a file, which becomes the shard's,
  // completely or not at all. Another thread calls that function, while the next shard is computed. It passes on
  // what give_sign_of_life() throws (Overtaken).
  std::function<ShardWriter(int64_t first, int64_t last)> compute_shard;
  // Reads the shards and writes the index (and the other files of the set) into the folder. Returns the
  // number of rejected rows.
  std::function<int64_t(const std::vector<std::filesystem::path>& shards)> write_index;
  bool writes_keys = false;                           // write_index() writes keys, too (feature_update.h)
  std::function<bool()> stop = [] { return false; };  // asked between shards
  // How this process waits for others. compute_shard and write_index call give_sign_of_life() after each piece.
  SharedWork shared = {};
  // When no shard is free, this process makes a shard that another one has held for so long, and twice as long
  // as its own slowest shard took; if it has made none, 60 times as long. Also one whose holder is silent for
  // shared.lease_seconds. 0: it only waits.
  double help_after_seconds = 0;
};

// Makes the missing files of a set and returns whether the set is complete (false: stopped). Waits for shards
// that other processes are making, and makes the shards that they abandon. Refuses a folder whose shards were
// made from other inputs. If the set is complete already (items may be 0), only removes the leftovers of
// killed processes. Throws what computing and writing throw, after the shards computed before are written, and
// SilentHolder if a process that makes a part is silent for too long.
bool make_feature_set(const FeatureWork& work);

int64_t num_missing_items(const FeatureWork& work);  // items of shards that do not exist yet

// Result of comparing a complete set with its hashes.
struct FeatureCheck {
  std::vector<std::string> problems = {};  // one for each damaged file, ordered by name
  std::vector<size_t> damaged_shards = {};
  bool has_checksums = false;  // the index is undamaged and has checksums of records
  bool has_keys = false;       // undamaged ones
};

// Reads every byte of the set. Calls `report` after each piece of a shard with the number of bytes read; `report` may
// throw. Throws UserError if the disk fails or the manifest cannot be read.
FeatureCheck check_feature_set(const std::filesystem::path& folder,
                               const std::function<void(uint64_t bytes)>& report);
uint64_t feature_bytes(const FeatureManifest& manifest);  // size of its shards

// Checks a complete set and removes its damaged files, so that make_feature_set() makes them again. A set
// without checksums or keys becomes unfinished too; completing it only reads its shards. Leaves an unfinished set, or
// a folder without a set, alone. Throws UserError, before anything is removed, if the set was made from other
// inputs.
void mend_feature_set(const FeatureWork& work, const std::function<void(uint64_t bytes)>& report);

}  // namespace pixart::data
