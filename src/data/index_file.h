// Index files: the index of a source (source_index.h), what it was made from, and checksums of all. A file is
// written under a temporary name and renamed, and one that is damaged or of another version is not used.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"
#include "source_index.h"

namespace pixart::data {

// A file or folder on which a listing depends, and its state before the listing.
struct InputStamp {
  std::string path = {};
  int64_t bytes = -1;  // -1: it does not exist; 0 for a folder
  int64_t modified_ns = 0, changed_ns = 0;
  bool operator==(const InputStamp&) const = default;
};
InputStamp stamp_of(const std::filesystem::path& path);

// What the listing of a source depends on.
struct IndexIdentity {
  std::string config = {};  // the keys that change it
  std::string files = {};   // a hash of the files that a glob names
  std::vector<InputStamp> inputs = {};
};

struct IndexFile {
  SourceIndex index;
  IndexIdentity identity;
  std::string id;  // changes when other content is written
};

// The file of the source in the folder of the indexes: NAME.index, or NAME-HASH.index where that is the index of a source of
// this name with other keys, which another run in the same folder of features may have.
std::filesystem::path index_file(const SourceConfig& config, const IndexPlace& place);

void write_index(const std::filesystem::path& path, const SourceIndex& index, const IndexIdentity& identity);

// The keys that the index was made with; nothing if it cannot be read. Does not check all of its bytes.
std::optional<std::string> config_of_index(const std::filesystem::path& path);

// Maps the file. Nothing, and the reason in `why`, if it does not exist, is damaged or is of another version.
std::optional<IndexFile> map_index(const std::filesystem::path& path, std::string& why);

// What is found out about an index after it was made, in files next to it. Without an index they are not kept.
struct IndexNotes {
  std::filesystem::path index = {};
  std::string id = {};
  SharedWork shared = {};

  // Of the captions; computed when they are first asked for, by one process.
  CaptionFingerprints fingerprints(const std::function<CaptionFingerprints()>& compute) const;
  void mark_changed() const;  // the source is not what was indexed: the next start makes the index anew
  bool is_changed() const;
};

}  // namespace pixart::data
