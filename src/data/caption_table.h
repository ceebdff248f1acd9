// Captions in columns of Parquet files, joined with the samples of a source by key: what img2dataset writes next to its
// shards, or any table with a key and a caption in each row.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "index_file.h"
#include "pixart/data/dataset.h"

namespace pixart::data {

class ParquetTable;

// A .parquet file, a glob of them, or a folder with at least one.
bool is_caption_table(const std::filesystem::path& path);
// By its name, or because it is a folder.
bool may_have_columns(const std::filesystem::path& path);

class CaptionTable {
 public:
  // Throws UserError that names the files and columns at fault. `column`: of the captions; empty: caption, text or prompt.
  CaptionTable(const std::filesystem::path& path, const std::string& column);
  ~CaptionTable();
  const std::vector<std::filesystem::path>& files() const;
  const std::string& column() const { return column_; }
  int64_t rows() const;
  // The key of a row, "" for a null, and its captions. Several threads may call both. Throw ReadFault.
  std::string key(int64_t row) const;
  std::vector<std::string> texts(int64_t row) const;

 private:
  std::unique_ptr<ParquetTable> table_;
  std::string column_;
  size_t keys_ = 0, captions_ = 0;  // numbers of chosen columns
};

}  // namespace pixart::data
