// The index of one source: makes it, or compares it with its source.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "pixart/data/dataset.h"

namespace pixart::data {

struct IndexReport {
  std::filesystem::path file = {};  // empty: a source of this type has no index
  int64_t rows = 0;
  uint64_t bytes = 0;
  double row_bytes = 0;  // bytes of a row, without its key
  double seconds = 0;
  bool is_new = false;          // it was made now
  std::string difference = {};  // with `verify`: what the source has in another way; "" if nothing
};

// Makes the index, whatever the number of rows, unless it is there and up to date. With `verify` the source is
// listed again and compared with it; if they differ, the next start makes the index anew.
IndexReport index_source(SourceConfig config, IndexPlace place, bool verify);

}  // namespace pixart::data
