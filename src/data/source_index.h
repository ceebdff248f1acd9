// The rows of a source of files in a compact form, the same in memory and in an index file (index_file.h): 40
// bytes a row and 16 a caption, without keys. Captions stay where they are; caption_places.h reads them.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/data/dataset.h"

namespace pixart::data {

struct IndexedRow {
  uint64_t key_begin : 38 = 0, key_bytes : 26 = 0;     // in SourceIndex::keys
  uint64_t offset = 0, bytes = 0;                      // of the image in its file
  uint32_t first_caption = 0;                          // those up to the next row's
  uint32_t file : 30 = 0;                              // number of a FilePattern
  uint32_t has_latents : 1 = 0, has_features : 1 = 0;  // files that come with the source
  int32_t label = -1;
  uint32_t checksum = 0;  // of the texts of its captions; see checksum_of()
};
static_assert(sizeof(IndexedRow) == 40);

// Where the text of a caption is.
struct CaptionPlace {
  uint64_t offset : 40 = 0;   // in the file of its way
  uint64_t item : 23 = 0;     // of a list of texts there
  uint64_t is_blank : 1 = 0;  // it is not a caption, but takes its share of the kind's weight
  uint32_t bytes = 0;         // 0 with a text file: the whole file
  uint32_t way = 0;           // number of a CaptionWay
};
static_assert(sizeof(CaptionPlace) == 16);

// A file of its own for all rows, or one for each row, named by the key.
struct FilePattern {
  enum Form : uint8_t {
    kOne,        // path
    kByKey,      // path/KEY + ending
    kNewEnding,  // path/KEY with `ending` for its extension
    kJoined,     // path/joined_name(KEY) + ending
  };
  std::filesystem::path path = {};
  Form form = kOne;
  std::string ending = {};
  uint64_t skip = 0;  // leading bytes of the key that are not part of the path
  bool operator==(const FilePattern&) const = default;
};
std::filesystem::path path_of(const FilePattern& pattern, std::string_view key);
// a/b/c.png -> a/b_c, as the official data set joins the last two parts.
std::string joined_name(const std::string& key);

// How a caption is read from its place. Index files contain the numbers: append, never reorder.
enum class ReadAs : uint8_t {
  kStored,      // the text is in the index
  kText,        // the bytes are the text
  kFolderText,  // a .txt file of an image_folder, whole
  kFolderLine,  // its first line with text
  kJson,        // the bytes are a JSON object; `field` is a text or a list of texts
  kCsv,         // a row of CSV; `field` is its separator and the number of the column
  kPlaced,      // column `field` of row `offset` of the source (placed_rows.h)
  kParquet,  // column `field` of row `offset` of the Parquet files that the file's path names (caption_table.h)
};
struct CaptionWay {
  ReadAs as = ReadAs::kStored;
  uint32_t file = 0, kind = 0;
  std::string field = {};
  bool operator==(const CaptionWay&) const = default;
};
struct CaptionKind {
  std::string name;
  double weight = 1;
  bool operator==(const CaptionKind&) const = default;
};

// What is small, however many rows there are.
struct IndexTables {
  std::string type = {};
  std::vector<FilePattern> files = {};
  std::vector<CaptionWay> ways = {};
  std::vector<CaptionKind> kinds = {};
  bool shares_weight = false;          // the captions of a row that are of one kind share the kind's weight
  uint32_t latents = 0, features = 0;  // patterns of the files that come with the source
  std::vector<std::string> class_names = {};
  std::vector<Rejection> rejected = {};
  std::string fingerprint = {};
};

struct SourceIndex {
  IndexTables tables;
  std::span<const IndexedRow> rows;  // and one more, in which captions end
  std::span<const CaptionPlace> captions;
  std::string_view keys, texts;
  std::shared_ptr<const void> memory;  // holds what the views refer to

  int64_t size() const { return int64_t(rows.size()) - 1; }
  const IndexedRow& row(int64_t index) const { return rows[size_t(index)]; }
  std::string_view key(int64_t index) const {
    return keys.substr(row(index).key_begin, row(index).key_bytes);
  }
  std::span<const CaptionPlace> captions_of(int64_t index) const {
    const size_t first = row(index).first_caption;
    return captions.subspan(first, row(index + 1).first_caption - first);
  }
  std::filesystem::path image_file(int64_t index) const {
    return path_of(tables.files[row(index).file], key(index));
  }
};

// The key, label, feature files and kinds of captions of a row; the texts are empty.
Row outline_of(const SourceIndex& index, int64_t row);

// As the functions of the same name in dataset.h say.
std::string fingerprint_of(const SourceIndex& index);

// What differs between two indexes of one source; "" if nothing does.
std::string difference(const SourceIndex& a, const SourceIndex& b);

}  // namespace pixart::data
