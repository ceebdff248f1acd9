// The base of sources whose rows stay in their files (Parquet, MDS): keys, captions and images are read by place
// whenever they are asked for. Memory holds a label for each row and whether it is rejected.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"
#include "read_bytes.h"

namespace pixart::data {

struct PlacedRow {
  std::string key = {};                // also of a row with a fault
  std::vector<Caption> captions = {};  // as written; without weights
  std::optional<ReadFault> fault = {};
  uint64_t offset = 0;       // for rejections
  uint64_t image_bytes = 0;  // if reading the row tells it
};

struct PlacedRows {
  std::string type = {};
  int64_t size = 0;
  bool has_labels = false, has_captions = true;
  bool has_unique_keys = false;  // by their form
  std::vector<std::string> class_names =
      {};                  // of labels that are numbers; empty: names are those of all labels
  std::string sizes = {};  // changes when images of other sizes are in the files
  // All are called by several threads. `read` reports a fault in the row; `image` throws ReadFault.
  std::function<PlacedRow(int64_t row)> read = {};
  std::function<std::string(int64_t row)> image = {};
  // The label, a number or a name; "" if the row has none. Throws ReadFault. Empty: the source has no classes.
  std::function<std::string(int64_t row)> label = {};
  // Called once for each row that is listed: the size of its image. Throws ReadFault. It may be empty.
  std::function<uint64_t(int64_t row)> image_size = {};
};

// Applies the rules that all sources share, as make_dataset() does (records.h). Reads all rows once, on several
// threads.
std::unique_ptr<Dataset> make_placed_dataset(const SourceConfig& config, PlacedRows rows);

}  // namespace pixart::data
