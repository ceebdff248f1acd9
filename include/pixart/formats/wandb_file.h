// The file of an offline run of W&B, run-<id>.wandb, written without W&B or protobuf.
//
// A header of 7 bytes (":W&B", 0xBEE1, version 0) is followed by LevelDB's log: blocks of 32 KiB, in which a record
// is a chunk, or several where it crosses the end of a block. A chunk is a checksum of type and bytes, the
// number of bytes (16 bits), the type, the bytes. The checksum is CRC-32 of zlib, not LevelDB's. Each record is one
// message Record of wandb_internal.proto.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pixart/base/file.h"

namespace pixart::formats {

// Names with their values as JSON; NaN and infinities are the words NaN, Infinity and -Infinity.
using WandbItems = std::vector<std::pair<std::string, std::string>>;

struct WandbRun {
  std::string id = {};  // letters and digits
  std::string project = {}, display_name = {}, host = {};
  double begin = 0;  // seconds since 1970
  WandbItems config = {};
};

// A new file, for the inside of a StagedFolder. The records belong in the order of the functions. Every error is a
// UserError(kStorage). For one thread.
class WandbFile {
 public:
  WandbFile(const std::filesystem::path& path, const WandbRun& run);

  // A file that is sent along, relative to the folder files/ next to this file.
  void file(const std::string& name);

  // The x axis of the values whose names begin with `prefix` is the value `axis`.
  void axis(const std::string& prefix, const std::string& axis);

  // The values of a step; steps rise. _step is added, and is not one of the items.
  void history(int64_t step, const WandbItems& items);

  void summary(const WandbItems& items);

  // Ends the file. `code` 0: the run is finished; otherwise W&B shows it as failed.
  void exit(int code, int64_t seconds);

 private:
  void record(int field, const class ProtobufMessage& content);
  void append(std::string_view bytes);
  void chunk(int type, std::string_view bytes);

  OutputFile file_;
  std::string waiting_;
  uint64_t size_ = 0;  // of the file with what waits
  int64_t number_ = 0;
};

}  // namespace pixart::formats
