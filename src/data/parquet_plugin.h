// What libpixart_parquet.so offers: reading the structure of Parquet files and single pages of them. It is the only
// code that uses Arrow (libparquet and libarrow of the pyarrow package), and the program loads it only where a run
// names a Parquet file (parquet_library.h). It uses nothing of the program, which reads all bytes for it.
//
// A Parquet file has row groups; a column of a row group is a chunk, and a chunk is a list of pages. A page is the
// smallest part that can be decoded.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace pixart::data {

// Returns exactly `bytes` bytes from `offset`, or throws. What it throws passes through the plugin unchanged.
using ParquetRead = std::function<std::string(uint64_t offset, uint64_t bytes)>;

enum class ParquetKind { kBytes, kInteger, kOther };  // kBytes: texts and binary values

// A column of values. Columns of a structure have the names of both: image.bytes.
struct ParquetColumn {
  std::string name = {}, type = {};  // type: in words, for messages
  ParquetKind kind = ParquetKind::kOther;
  int physical = 0;                             // parquet::Type
  int16_t most_defined = 0, most_repeated = 0;  // levels of Parquet's encoding; most_repeated 1: lists
};

struct ParquetChunk {
  uint64_t offset = 0, bytes = 0, plain_bytes = 0;  // plain: without compression
  int64_t values = 0;
  int codec = 0;  // arrow::Compression
};

struct ParquetGroup {
  int64_t rows = 0;
  std::vector<ParquetChunk> chunks = {};  // one for each column
};

struct ParquetFooter {
  std::vector<ParquetColumn> columns = {};
  std::vector<ParquetGroup> groups = {};
  std::string huggingface = {};  // JSON that the `datasets` package writes; "" if there is none
};

struct ParquetPage {
  uint64_t offset = 0;     // of its header in the file
  int64_t first_row = 0;   // in its row group
  bool continues = false;  // it begins with values of the row before, which belongs to an earlier page
};

struct ParquetPages {
  bool has_dictionary = false;  // the chunk begins with values that pages refer to
  std::vector<ParquetPage> pages = {};
};

// The values of a page. Values i with first[r] <= i < first[r + 1] belong to its row r; those before first[0] to the row
// before. A null has no value, and neither has an empty list.
struct ParquetValues {
  std::vector<uint32_t> first = {};
  std::string bytes = {};                                  // kBytes: the values, equal ones perhaps once
  std::vector<std::pair<uint64_t, uint64_t>> places = {};  // kBytes: begin and size of each
  std::vector<int64_t> numbers = {};                       // kInteger
};

// All throw std::runtime_error with a sentence without its end where the file is damaged.
struct ParquetPlugin {
  int version = 0;           // kParquetPluginVersion
  std::string library = {};  // "Arrow 26.0.1"
  ParquetFooter (*read_footer)(uint64_t file_bytes, const ParquetRead& read) = nullptr;
  // Reads the headers of all pages. For lists it decodes all values, because headers do not count their rows.
  ParquetPages (*list_pages)(const ParquetColumn& column, const ParquetChunk& chunk,
                             const ParquetRead& read) = nullptr;
  ParquetValues (*read_page)(const ParquetColumn& column, const ParquetChunk& chunk, bool has_dictionary,
                             uint64_t page_offset, const ParquetRead& read) = nullptr;
};

inline constexpr int kParquetPluginVersion = 1;
// The name of the plugin's only function, of type ParquetPluginFunction.
inline constexpr const char* kParquetPluginFunction = "pixart_parquet_plugin";
using ParquetPluginFunction = const ParquetPlugin* (*)();

}  // namespace pixart::data
