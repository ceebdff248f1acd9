// Packs any source into WebDataset shards: NAME-000000.tar, NAME-000001.tar, ... in a folder of their own.
#pragma once
#include <cstdint>
#include <filesystem>

#include "pixart/data/dataset.h"
#include "pixart/data/quarantine.h"

namespace pixart::data {

// A sample KEY becomes consecutive members of one shard:
//   KEY.jpg | .png | .webp  the encoded image, byte for byte; the extension names its format
//   KEY.txt                 its caption, if "caption" is the only kind of the source and there is one
//   KEY.cls                 its class, if it has one; the names are in classes.txt
//   KEY.json                {"source_key", "label", "class", and each caption by its kind}, if there are
//                           other kinds of captions or KEY is not the source's key; several captions of one
//                           kind are a list
// A WebDataset key ends at the first dot, so KEY is the source's key without the image's extension, if that
// keeps it unique; other dots, %, control characters and other special characters become %XX.
//
// Next to the shards: quarantine.jsonl with the samples that were left out (see quarantine.h), and, written
// last, pack.json with counts and with size and SHA-256 of each shard. The same source always gives the same
// bytes. Features that come with a source are not packed.
struct PackOptions {
  uint64_t shard_bytes = 512'000'000;  // a larger sample gets a shard of its own
  int64_t shard_samples = 0;           // 0: no limit
  bool verify = true;                  // decode each image once; otherwise only its first bytes are checked
};

struct PackReport {
  Ledger ledger;
  int64_t shards = 0, kept = 0;  // all shards; those that were complete before this call
  uint64_t bytes = 0;
};

// Fills `out`, and warns if the samples have different members (images of several types, captions that only
// some have): other readers refuse such shards. After a kill the same call continues: shards that are
// complete, by size and hash, are kept.
// Throws UserError if the folder holds anything other than a pack of this source begun with these options
// (code kFolderOwned: another process is filling it). Also throws UserError, after all samples were read, if
// more samples are bad than config.quarantine_budget allows: then everything except pack.json is written.
PackReport pack(const SourceConfig& config, const Dataset& dataset, const std::filesystem::path& out,
                const PackOptions& options = {});

}  // namespace pixart::data
