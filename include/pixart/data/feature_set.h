// Features of a source, computed once: a folder of shards, an index and a manifest.
//
//   shard-00000.safetensors ...   written one by one, each whole or absent
//   index.safetensors             where each row is, and its checksum; small enough to be kept in memory
//   quarantine.jsonl              rows without features, and why (latents)
//   manifest.json                 what the features were made of, and the hashes of shards and index; written
//                                 last
//
// A shard holds a fixed range of items, so the set is the same bytes whoever makes it, in whatever order, and
// however often they were interrupted. Several processes may make one set together: each claims a shard with
// a lock.
//
// What is read is checked: the index by its SHA-256 when a set is opened, each record of a shard by its
// CRC32C when it is read, a whole set by check_feature_set(). Sets of older versions have neither hash nor
// checksums; mend_feature_set() adds them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "pixart/base/error.h"

namespace pixart::data {

// Something that features depend on.
struct FeatureInput {
  std::string name, value;
  // What earlier versions wrote for the same, if they wrote another value: accepted, with a warning.
  std::string former = {};
  bool operator==(const FeatureInput&) const = default;
};
using FeatureInputs = std::vector<FeatureInput>;  // in the order in which differences are reported
// A part of a shard that is not what was written: it costs its sample. (A disk that fails to read is a
// UserError(kStorage) of its own.)
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
  int64_t items = 0;  // that it was given; some may be rejected
};

struct FeatureManifest {
  std::string kind;  // "latents" or "captions"
  std::string source;
  int64_t rows = 0, rejected = 0;
  FeatureInputs inputs = {};
  std::vector<FeatureShard> shards = {};
  std::string index_sha256 = {};  // empty: made by a version that wrote none
};

bool has_feature_set(const std::filesystem::path& folder);                   // a manifest stands there
FeatureManifest read_feature_manifest(const std::filesystem::path& folder);  // throws UserError

// The shards' files. Throws one UserError that names all that are missing or of another size.
std::vector<std::filesystem::path> shard_files(const std::filesystem::path& folder,
                                               const FeatureManifest& manifest);

// Throws one UserError that names every input in which the set differs from what is wanted. A set with a
// former value is a warning that says how to renew it.
void require_inputs(const std::filesystem::path& folder, const FeatureManifest& manifest,
                    const FeatureInputs& wanted);

// How a set is made.
struct FeatureWork {
  std::filesystem::path folder;
  FeatureManifest manifest;  // without shards
  int64_t items = 0, items_per_shard = 1;
  // Writes items [first, last) to the file, whole or not at all.
  std::function<void(const std::filesystem::path& file, int64_t first, int64_t last)> write_shard;
  // Reads the shards and writes the index (and what else belongs to the set) into the folder. Returns the
  // number of rejected rows.
  std::function<int64_t(const std::vector<std::filesystem::path>& shards)> write_index;
  std::function<bool()> stop = [] { return false; };  // asked between shards
};

// Makes what is missing of a set and returns whether it is complete (false: stopped). Waits for shards that
// other processes make, and makes those that they leave behind. A folder whose shards were made of other
// inputs is refused. Of a complete set nothing is made (items may be 0), but what killed processes left
// behind is removed.
bool make_feature_set(const FeatureWork& work);

int64_t num_missing_items(const FeatureWork& work);  // of shards that are not there yet

// Whether a complete set is what was written.
struct FeatureCheck {
  std::vector<std::string> problems = {};  // one for each file that is not; by name
  std::vector<size_t> damaged_shards = {};
  bool has_checksums = false;  // of records, in an index that is whole
};

// Reads every byte of the set. `report` is told of the bytes that were read, file by file, and may throw.
// Throws UserError where the disk fails or the manifest cannot be read.
FeatureCheck check_feature_set(const std::filesystem::path& folder,
                               const std::function<void(uint64_t bytes)>& report);
uint64_t feature_bytes(const FeatureManifest& manifest);  // of its shards

// Checks a complete set and removes what is damaged of it, for make_feature_set() to make again; the same
// where it has no checksums, which then costs reading only. Leaves an unfinished set, or none, alone. Throws
// UserError, before anything is removed, where the set was made of other inputs.
void mend_feature_set(const FeatureWork& work, const std::function<void(uint64_t bytes)>& report);

}  // namespace pixart::data
