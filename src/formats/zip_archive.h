// The zip files that torch.save and np.savez write. The whole directory is checked against the file before
// any record is used; contents are read through RecordStream (zip_record.h).
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "input_file.h"

namespace pixart::formats {

// The layout of the archives of one program; others are refused.
struct ZipRules {
  std::string_view writer = {};  // for messages
  bool has_top_folder =
      false;  // one folder for all records, left out of their names; otherwise names have no folder
  bool may_deflate = false;
};

inline constexpr ZipRules kTorchZip{.writer = "torch.save", .has_top_folder = true};
inline constexpr ZipRules kNumpyZip{.writer = "np.savez", .may_deflate = true};

struct ZipRecord {
  std::string name = {};
  uint64_t offset = 0;        // of the stored bytes in the file
  uint64_t stored_bytes = 0;  // size in the file
  uint64_t bytes = 0;         // size of the content, according to the directory
  uint32_t crc = 0;           // of the content
  bool is_deflated = false;
  bool has_crc = true;
};

using ZipRecords = std::map<std::string, ZipRecord>;  // by name

// Throws UserError naming file, offset and reason.
ZipRecords read_zip_directory(const InputFile& file, const ZipRules& rules);

}  // namespace pixart::formats
