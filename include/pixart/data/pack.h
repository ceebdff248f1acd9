// Any source as WebDataset shards: NAME-000000.tar, NAME-000001.tar, ... in a folder of their own.
#pragma once
#include <cstdint>
#include <filesystem>

#include "pixart/data/dataset.h"
#include "pixart/data/quarantine.h"

namespace pixart::data {

// A sample KEY becomes consecutive members of one shard:
//   KEY.jpg | .png | .webp  the encoded picture, byte for byte; the ending says what it is
//   KEY.txt                 its caption, where "caption" is the only kind of the source
//   KEY.cls                 its class, where it has one; the names stand in classes.txt
//   KEY.json                {"source_key", "label", "class", and each caption by its kind}, where there are
//   other kinds
//                           of captions or KEY is not the source's key
// A WebDataset key ends at the first dot, so KEY is the source's key without the ending of a picture, if that
// is enough to tell it from all others; other dots, %, control characters and what else would be special
// become %XX.
//
// Beside the shards: quarantine.jsonl with what was left out (see quarantine.h), and, written last, pack.json
// with counts, and size and SHA-256 of each shard. The same source makes the same bytes each time. Features
// that a source holds itself are not packed.
struct PackOptions {
  uint64_t shard_bytes = 512'000'000;  // a larger sample gets a shard of its own
  int64_t shard_samples = 0;           // 0: no limit
  bool verify = true;  // decode each picture once; otherwise only its first bytes are looked at
};

struct PackReport {
  Ledger ledger;
  int64_t shards = 0, kept = 0;  // in all; of these complete before
  uint64_t bytes = 0;
};

// Fills `out`. After a kill the same call goes on: shards that are complete, by size and hash, are kept.
// UserError for a folder that holds anything else than a pack of this source begun with these options (code
// kFolderOwned: that another process is filling), and, once all was looked at, for more bad samples than
// config.quarantine_budget: then everything but pack.json is there.
PackReport pack(const SourceConfig& config, const Dataset& dataset, const std::filesystem::path& out,
                const PackOptions& options = {});

}  // namespace pixart::data
