// Parquet files as one table, of which single rows are read by place.
//
// Memory: of each file the places of the chosen columns' chunks (40 bytes for each row group and column), of each page
// that was looked at 24 bytes, and the decoded pages that were used last (kParquetCacheBytes, or one page
// if that is larger), and those that threads use at the moment.
// Cost: a value is read with its whole page, because a page is compressed as one. Reading rows in their order decodes
// each page once. Reading at random decodes a page for each row: writers make pages of about 1 MiB, but those of older
// versions of pyarrow hold up to 1,024 values, that is, perhaps 100 MB of images. The first use of a chunk also
// reads the headers of its pages.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "parquet_plugin.h"
#include "pixart/data/dataset.h"

namespace pixart::data {

inline constexpr uint64_t kParquetCacheBytes = uint64_t{64} << 20;

bool is_parquet_name(const std::filesystem::path& path);  // *.parquet, not .x.parquet

// The file, the .parquet files of the folder or, if it has none, of its sub-folders (data/train-00000-of-00002.parquet),
// or the files that a glob matches; sorted. Empty if there are none. Throws UserError if a folder cannot be listed.
std::vector<std::filesystem::path> find_parquet(const std::filesystem::path& path);

// The values in a row's column: none for a null, several for a list.
struct ParquetCell {
  std::vector<std::string> texts = {};
  std::vector<int64_t> numbers = {};
};

struct ParquetPlace {
  size_t file = 0;
  int64_t row = 0;  // in its file
};

class ParquetTable {
 public:
  // Reads the footers. Throws one UserError with all files that cannot be read.
  ParquetTable(const std::string& subject, std::vector<std::filesystem::path> files);
  ~ParquetTable();

  int64_t rows() const;
  const std::vector<std::filesystem::path>& files() const;
  ParquetPlace place_of(int64_t row) const;
  std::set<std::string> columns() const;                            // names of the columns of all files
  std::string type_of(const std::string& column) const;             // in words, in the first file that has it
  std::set<std::string> types_of(const std::string& column) const;  // in all files, without that of nulls
  ParquetKind kind_of(const std::string& column) const;
  bool is_list(const std::string& column) const;
  const std::string& huggingface() const;  // of the first file that has such metadata

  // The number by which cells of this column are read; several threads may ask again for one that is chosen. Throws
  // UserError if files lack it or have other types in it.
  size_t choose(const std::string& column);
  void forget_others();  // the places of columns that were not chosen
  const std::string& name_of(size_t chosen) const;

  // Throws ReadFault if the file is damaged there, and MachineFault. Several threads may call it.
  ParquetCell cell(int64_t row, size_t chosen) const;
  std::string number_text(size_t chosen, int64_t number) const;  // of a cell of this column
  // Bytes of the column without compression in each row group, and the rows of each: changes when values of other
  // sizes are in the files.
  std::string sizes(size_t chosen) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace pixart::data
