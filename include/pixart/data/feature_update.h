// What of a complete feature set is taken over when its source has grown, shrunk or changed.
//
//   <set>           the former set, valid until the new one is complete; runs may read it meanwhile
//   <set>.update    the new set while it is made, like any other set: by several processes, with resume
//   <set>.former    the former set afterwards. A run that reads it goes on with it: a LatentSet or CaptionSet keeps
//                   the folder open that it began with, under whatever name. The next update deletes it
//
// A record is taken over if its sample has the same key and the same image, or its caption the same text. The
// new set has the files of a set that is made from nothing, as long as the encoders give a sample the same bits
// with whatever others it is in a batch of one size. Shards that do not change are hard links to those of the
// former set.
#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pixart/data/caption_set.h"
#include "pixart/data/feature_set.h"

namespace pixart::data {

using FeatureKey = std::array<uint64_t, 2>;  // the first half of a SHA-256
FeatureKey feature_key(std::string_view text);

// Writes keys.safetensors: the key of each row, or of each distinct caption (zeros for features that the source
// itself holds). Features do not depend on it.
void write_row_keys(const std::filesystem::path& folder, const Dataset& dataset);
void write_caption_keys(const std::filesystem::path& folder, const Dataset& dataset,
                        const DistinctCaptions& captions);

// The keys of a set. Empty if the set has no file with keys, or a damaged one: then nothing is taken over.
class FeatureKeys {
 public:
  explicit FeatureKeys(const std::filesystem::path& folder);
  std::optional<int64_t> find(const FeatureKey& key) const;  // the row or caption

 private:
  std::vector<std::pair<FeatureKey, int64_t>> sorted_;
};

std::filesystem::path update_folder(const std::filesystem::path& folder);
std::filesystem::path former_folder(const std::filesystem::path& folder);

// Whether the folder has a complete set that differs from `work` in inputs with `of_samples`. Throws one
// UserError that names other differences.
bool is_outdated(const FeatureWork& work);

// Held while the folders change their names.
Claim claim_update(const std::filesystem::path& folder, const SharedWork& shared);

// Makes each shard of `work` that has the bytes of one of the set in `former` a hard link to it, where links exist.
FeatureWork with_links_to(FeatureWork work, const std::filesystem::path& former);

// Gives the complete set in update_folder() the name of work.folder, and the one of that name former_folder().
// Does nothing if another process has done it. Throws UserError(kStorage) if a former set cannot be deleted,
// because it has files of others.
void finish_update(const FeatureWork& work);

// What a process that was killed between the two renames left to do.
void recover_update(const std::filesystem::path& folder, const SharedWork& shared);

}  // namespace pixart::data
