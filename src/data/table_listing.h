// The rows of a table source while it is listed.
#pragma once
#include <filesystem>
#include <set>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "pixart/data/table_rows.h"
#include "records.h"
#include "row_fields.h"

namespace pixart::data {

struct TableColumns {
  std::string image, label;
  std::vector<CaptionField> captions;
};

// The labels of rows, each text once.
class LabelTexts {
 public:
  static constexpr uint32_t kNone = 0;
  uint32_t number(const std::string& text) {
    return text.empty() ? kNone : numbers_.try_emplace(text, uint32_t(numbers_.size()) + 1).first->second;
  }
  // By number; the first is empty.
  std::vector<std::string> texts() const {
    std::vector<std::string> all(numbers_.size() + 1);
    for (const auto& [text, number] : numbers_) all[number] = text;
    return all;
  }

 private:
  std::unordered_map<std::string, uint32_t> numbers_;
};

// Rows as they are in the tables: record i of the listing is row i of the lists.
struct TableListing {
  Listing listing = {};
  SpilledVector<uint64_t> offsets = {};  // of the rows
  SpilledVector<uint32_t> labels = {};   // as written in the table
  std::vector<bool> has_path = {};       // the row names an image below its folder
  LabelTexts texts = {};
  std::vector<uint32_t> images = {};  // of each table, the pattern of the images that it names
  std::set<std::string> known = {};   // names of columns

  // `file`: the pattern of the table, which is the last one.
  void add(TableRow& row, const std::filesystem::path& table, const TableColumns& columns, uint32_t file);
  void remove_last();
  void keep(const std::vector<bool>& is_kept);
};

// Counts samples: rows of one image are one.
class SampleCount {
 public:
  explicit SampleCount(int64_t most) : most_(most) {}
  // Whether row `row` is of the first `most` samples.
  bool takes(const TableListing& rows, int64_t row);

 private:
  int64_t most_, num_bad_ = 0;
  std::unordered_set<std::string> files_;
};

// Appends the rows of all tables. Large sources are read in parts (listing_parts.h), of some megabytes of lines, or of a
// table of CSV. A source of which only the first samples are taken is read in order, and so is one with a large table of
// CSV, in which a line may begin within a quoted field.
void read_tables(const SourceConfig& config, const std::vector<std::filesystem::path>& tables,
                 const TableColumns& columns, ListingWatch& watch, TableListing& rows);

}  // namespace pixart::data
