// Sources whose rows stay in their files (Parquet, MDS): keys, labels and places are listed as for other sources
// (records.h); captions and images are read by the number of the row whenever they are asked for.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"
#include "read_bytes.h"
#include "records.h"

namespace pixart::data {

// How an open source reads a row. Both functions are called by several threads and throw ReadFault.
struct PlacedRows {
  std::function<std::vector<std::string>(int64_t row, const std::string& column)> texts = {};
  std::function<std::string(int64_t row)> image = {};  // empty: images are files of their own
};

// A text in a column of a row.
struct PlacedText {
  std::string kind = {}, column = {}, text = {};
  uint64_t item = 0;  // of those in the column
};

struct PlacedRow {
  std::string key = {};                   // also of a row with a fault
  std::vector<PlacedText> captions = {};  // as written; none of a row with a fault
  std::optional<ReadFault> fault = {};
  uint64_t offset = 0;                                // for rejections
  uint64_t image_bytes = 0;                           // if reading the row tells it
  FilePattern file = {}, image_file = {};             // that hold the row, and its image
  std::filesystem::path image_path = {};              // for look_at_image
  std::optional<std::filesystem::path> refused = {};  // a link that leads out of the source
};

// How the rows are listed. The functions are called by several threads.
struct PlacedListing {
  std::string type = {};
  int64_t size = 0;
  bool has_captions = true;
  bool merges_rows = false;  // rows with one key are captions of one image
  std::vector<std::string> class_names =
      {};                  // of labels that are numbers; empty: names are those of all labels
  std::string sizes = {};  // changes when images of other sizes are in the files
  std::function<PlacedRow(int64_t row)> read = {};  // reports a fault in the row
  // The label, a number or a name; "" if the row has none. Throws ReadFault. Empty: the source has no classes.
  std::function<std::string(int64_t row)> label = {};
  // Sets the size of the image, and a fault or link if there is one. Empty: reading the row tells it.
  std::function<void(PlacedRow& row)> look_at_image = {};
  std::function<void(const std::filesystem::path& link)> refuse = {};  // a link that leads out of the source
};

// Reads all rows once, in parts (listing_parts.h).
Listing list_placed(const SourceConfig& config, const PlacedListing& rows, ListingWatch& watch);

// The fingerprint of such a source.
std::string placed_fingerprint_of(const SourceIndex& index, const std::string& sizes);

}  // namespace pixart::data
