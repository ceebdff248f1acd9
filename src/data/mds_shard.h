// Shards of MDS, the format of MosaicML's `streaming` package, version 2. A folder has index.json, which lists its shards
// with their columns. A shard has the number n of its samples (uint32), n + 1 offsets in the file (uint32), its config
// (JSON) and the samples; a sample has the sizes of its values of variable size (uint32 each) and then all values.
// All numbers are little-endian. Nothing in a file is believed: every offset is compared with what the file holds.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace pixart::data {

struct MdsColumn {
  std::string name = {}, encoding = {};  // "jpeg", "str", "ndarray:uint8:2,2", ...
  uint64_t size = 0;                     // of each value; 0: of variable size
};

struct MdsPlace {
  uint64_t offset = 0, bytes = 0;  // in the shard's file
};

class MdsShard {
 public:
  std::filesystem::path file = {};
  std::string name = {};  // its path below the source's folder
  int64_t samples = 0;
  uint64_t bytes = 0;  // of the file, as the index says
  std::vector<MdsColumn> columns = {};

  // Where the values of a sample are, by column. Throws ReadFault if the shard is damaged there, and MachineFault.
  // The offsets of all samples (4 bytes each) are read at the first call. Several threads may call it.
  std::vector<MdsPlace> places_of(int64_t sample) const;
  std::string read(const MdsPlace& place) const;  // throws ReadFault, MachineFault

 private:
  struct Offsets {
    std::mutex mutex;
    std::string bytes;
  };
  const std::string& offsets() const;
  std::shared_ptr<Offsets> offsets_ = std::make_shared<Offsets>();
};

bool has_mds_index(const std::filesystem::path& folder);  // an index.json, of whatever content

// Whether the folder, or one of its sub-folders, has an index.json of MDS.
bool is_mds_folder(const std::filesystem::path& folder);

// The shards of the folder's index.json, in its order; if it has none, those of its sub-folders, sorted by name. Throws
// one UserError with all that is wrong: indexes that cannot be read, shards that are missing, cut off or compressed.
std::vector<MdsShard> list_mds(const std::string& subject, const std::filesystem::path& folder);

}  // namespace pixart::data
