// The complete shards of a pack: .pack.json while the pack is written, pack.json at the end. Meanwhile the
// rejected rows are in a file to which each shard appends its own, so that the work for a shard does not grow
// with the rows rejected before.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/data/pack.h"

namespace pixart::data {

struct PackedShard {
  std::string file = {};
  uint64_t bytes = 0;
  std::string sha256 = {};
  int64_t samples = 0;
  int64_t begin = 0, end = 0;            // rows of the source
  std::vector<Rejection> rejected = {};  // rejections of these rows, except those by the listing
};

struct PackState {
  std::string source, type, fingerprint;
  PackOptions options;
  std::vector<PackedShard> shards;
};

// The state of a complete or unfinished pack; nothing if there is none. Throws UserError for a damaged file.
std::optional<PackState> read_pack_state(const std::filesystem::path& folder);

// Writes .pack.json and .pack-rejected.jsonl anew.
void save_pack_state(const std::filesystem::path& folder, const PackState& state);
// The same after `added` rejections became part of the last shard; everything else was saved before.
void save_last_shard(const std::filesystem::path& folder, const PackState& state,
                     const std::vector<Rejection>& added);
void save_pack_manifest(const std::filesystem::path& folder, const PackState& state, const Ledger& ledger);

}  // namespace pixart::data
