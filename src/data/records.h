// The base of all sources that consist of files: a list of records. A record is an encoded image in a file.
// A source is a function that lists records. A listing keeps of each only what an index holds: texts of
// captions are checked, hashed and dropped at once.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "index_file.h"
#include "listing_parts.h"
#include "part_bytes.h"
#include "pixart/data/dataset.h"
#include "read_bytes.h"
#include "source_index.h"
#include "spilled_vector.h"

namespace pixart::data {

// A text in a source, as it is written there.
struct ListedText {
  std::string kind = "caption", text = {};
  // Where it is; by default in the index. CaptionWay::kind is set from the name.
  CaptionWay way = {};
  uint64_t offset = 0, bytes = 0, item = 0;
};

struct Record {
  std::string key = {};
  std::vector<ListedText> captions = {};
  int64_t label = -1;
  uint32_t file = 0;               // Listing::file(); the file that holds the image
  uint64_t offset = 0, bytes = 0;  // position and size of the image in the file
};

// Listed records in the source's order, and the faults of single records. A rejected record stays in the list. Its memory
// does not grow with the records but for some bits of each (spilled_vector.h).
class Listing {
 public:
  std::string type = {};                 // part of the fingerprint
  std::vector<Rejection> rejected = {};  // in any order; only the first of each row counts
  std::vector<std::string> class_names = {};
  bool has_captions = true;  // false: samples of this source need no caption
  std::string hint = {};     // a sentence for the message about missing captions
  // Of sources whose rows are read by place (placed_rows.h): changes when images of other sizes are in the files.
  std::optional<std::string> placed_sizes = {};

  uint32_t file(FilePattern pattern);                     // its number; 0 is none
  uint32_t new_file(FilePattern pattern);                 // another number than that of an equal one
  ListedText stored(std::string kind, std::string text);  // may be added to several records
  void add(Record record);
  void reject(Reason reason, std::string detail, uint64_t offset = 0);  // rejects the last record
  void remove_last();
  // What the numbers of the part's files are.
  enum class Files {
    kOwn,   // of files of its own
    kSame,  // the same ones as here, or those of files that are not here yet
  };
  void append(Listing&& part, Files files = Files::kOwn);
  // `files`: for each file of the part its number here.
  void append(Listing&& part, const std::vector<uint32_t>& files);
  void write(PartWriter& writer) const;  // all but `hint`, `has_captions` and `placed_sizes`
  static Listing read(PartReader& reader);

  int64_t size() const { return int64_t(rows_.size()); }
  std::string_view key(int64_t row) const;
  void set_key(int64_t row, std::string_view key);
  IndexedRow& row(int64_t row) { return rows_[size_t(row)]; }
  const IndexedRow& row(int64_t row) const { return rows_[size_t(row)]; }
  FilePattern& pattern(uint32_t file) { return files_[file]; }
  std::filesystem::path image_file(int64_t row) const {
    return path_of(files_[rows_[size_t(row)].file], key(row));
  }
  bool has_texts(int64_t row) const { return num_texts_[size_t(row)] > 0; }
  std::vector<bool> rejected_rows() const;
  // The files of features that come with the source, for rows with has_latents or has_features.
  uint32_t latents = 0, features = 0;

  struct KeyedRow {
    uint64_t hash;
    int64_t row;
  };
  // The rows that are not left out; those with one key are next to each other and in their order.
  SpilledVector<KeyedRow> by_key(const std::vector<bool>& is_left_out) const;
  void prefix_keys(const std::function<std::string(const IndexedRow&)>& prefix);
  void keep(const std::vector<bool>& is_kept);
  // The captions of row i go to row owner[i] <= i, except those that it has already.
  void move_captions(const SpilledVector<int64_t>& owner);
  // Rows with captions that name one image, with one label, become one sample, as in COCO, which has five captions for
  // each image. Returns how many were added to an earlier one.
  int64_t merge_rows();

 private:
  friend class CaptionChoice;  // caption_choice.cpp
  friend SourceIndex make_index(const SourceConfig& config, Listing listing);
  // A text before captions are chosen.
  struct Text {
    CaptionPlace place;
    uint64_t hash = 0;          // of the text as written
    uint32_t checksum = 0;      // of the clean text
    uint32_t fault : 31 = 0;    // 0, or one more than the place in faults_
    uint32_t is_empty : 1 = 0;  // as written
  };
  static_assert(sizeof(Text) == 32);
  uint32_t way(CaptionWay way, const std::string& kind, bool is_new = false);
  void append(Listing&& part, const std::vector<uint32_t>& files, bool has_own_files);
  Text checked(ListedText& text);

  SpilledVector<IndexedRow> rows_;     // first_caption: in texts_
  SpilledVector<uint32_t> num_texts_;  // of each row
  SpilledVector<Text> texts_;
  SpilledVector<char> keys_, stored_;
  std::vector<FilePattern> files_ = {{}};
  std::vector<CaptionWay> ways_;
  std::vector<CaptionKind> kinds_;
  std::vector<ReadFault> faults_;
};

// Applies the rules that all sources share: `captions` of the config (choice, weights, files of pixart
// caption), max_samples, missing captions, invalid captions, duplicate keys. Several captions of one kind
// share its weight. Throws UserError if more captions are missing than the config allows, or if no sample is
// left.
SourceIndex make_index(const SourceConfig& config, Listing listing);

struct PlacedRows;  // placed_rows.h

// Of an index, in memory or mapped. `rows`: of a source whose rows are read by place.
std::unique_ptr<Dataset> make_dataset(SourceIndex index, IndexNotes notes,
                                      std::shared_ptr<const PlacedRows> rows = {});

}  // namespace pixart::data
