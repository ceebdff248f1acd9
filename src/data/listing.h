// Finding the pictures of a folder, and saying what is wrong with it.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/base/error.h"

namespace pixart::data {

struct ListedPicture {
  std::string key;  // path below the source's folder, with '/'
  uint64_t bytes = 0;
};

// All .png .jpg .jpeg .webp files in `root`/`below` and its sub-folders, sorted by key. Names that start with
// a dot are passed over; links to folders are followed, except back to a folder that holds them. What cannot
// be listed or holds no bytes becomes one entry of `problems`.
std::vector<ListedPicture> list_pictures(const std::filesystem::path& root, const std::string& below,
                                         Problems& problems);

// Names of the folders directly inside `folder`, sorted, without those that start with a dot.
std::vector<std::string> list_folders(const std::filesystem::path& folder);

// "a, b, c and 17 more": at most twenty by name.
std::string name_some(const std::vector<std::string>& paths);

}  // namespace pixart::data
