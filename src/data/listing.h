// Finding the pictures of a folder, and saying what is wrong with it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/error.h"
#include "read_bytes.h"
#include "records.h"

namespace pixart::data {

struct ListedPicture {
  std::string key;  // path below the source's folder, with '/'
  uint64_t bytes = 0;
  std::optional<ReadFault> fault = {};  // an empty file, a broken link, no file at all
};

// All .png .jpg .jpeg .webp files in `root`/`below` and its sub-folders, sorted by key. Names that start with
// a dot are passed over; links to folders are followed, except back to a folder that holds them. Folders that
// cannot be listed become one entry of `problems`.
std::vector<ListedPicture> list_pictures(const std::filesystem::path& root, const std::string& below,
                                         Problems& problems);

// Appends the picture as a record, rejected if it has a fault.
void add_picture(const std::filesystem::path& root, const ListedPicture& picture, Listing& listing);

// Names of the folders directly inside `folder`, sorted, without those that start with a dot.
std::vector<std::string> list_folders(const std::filesystem::path& folder);

}  // namespace pixart::data
