// Finds the files of a table source and says whether they list images.
#pragma once
#include <array>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"

namespace pixart::data {

inline constexpr std::array<const char*, 5> kImageColumns = {"image", "path", "file_name", "filename",
                                                             "img_path"};
inline constexpr std::array<const char*, 3> kCaptionColumns = {"caption", "text", "prompt"};

// Whether the name ends in .jsonl, .ndjson, .csv or .tsv, in any case, and does not begin with a dot.
bool is_table_name(const std::filesystem::path& path);

// The first of `names` that `columns` holds; "" if there is none.
template <size_t count>
std::string first_of(const std::array<const char*, count>& names, const std::set<std::string>& columns) {
  for (const char* name : names)
    if (columns.count(name) > 0) return name;
  return {};
}

// What the first thousand rows of a table say.
struct TableStart {
  std::set<std::string> columns = {};
  int64_t rows = 0, bad = 0;
  std::string first_fault = {};  // with the name of the file and the line
  bool names_images = false;     // a value ends as the name of an image does
  std::string remedy = {};       // what to do with a file of JSON that has no object in a line
  // All rows seen were read and no column names an image.
  bool lists_no_images(const std::string& image_column) const;
};
// Throws UserError if the file cannot be read.
TableStart start_of(const std::filesystem::path& table);

// The tables in `folder`, sorted; if there are none, those in its sub-folders, as in Hugging Face's folders
// with splits (train/metadata.jsonl). Throws UserError if the folder cannot be listed.
std::vector<std::filesystem::path> tables_of(const std::filesystem::path& folder);

// The file, the tables of the folder, or the files that a glob matches; sorted. Of a folder with several,
// those that list no images are left out, with a warning. Throws UserError if there are none, or if those of a folder
// are of several splits (splits.h).
std::vector<std::filesystem::path> find_tables(const SourceConfig& config);

}  // namespace pixart::data
