// Finds the images of a folder and reports unreadable ones.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "links.h"
#include "pixart/base/error.h"
#include "read_bytes.h"
#include "records.h"

namespace pixart::data {

struct ListedImage {
  std::string key;  // path below the source's folder, with '/'
  uint64_t bytes = 0;
  std::optional<ReadFault> fault = {};  // an empty file, a broken link, not a file
};

// All files in `root`/`below` and its sub-folders whose names have one of formats::image_endings(), sorted by
// key. Skips names that start with a dot; follows links that `links` admits, except back to a folder that
// holds them.
// Folders that cannot be listed become one entry of `problems`. Images of other kinds (.heic, .psd, ...) are
// counted and named in a warning.
std::vector<ListedImage> list_images(const std::filesystem::path& root, const std::string& below,
                                     Links& links, ListingWatch& watch, Problems& problems);

std::string shown_image_endings();  // ".jpg .jpeg ...", for messages

// Appends the image in the folder that the pattern `file` names as a record; it is rejected if the image has a
// fault.
void add_image(uint32_t file, const ListedImage& image, Listing& listing,
               std::vector<ListedText> captions = {}, int64_t label = -1);

// Names of the folders directly inside `folder`, sorted, without those that start with a dot.
std::vector<std::string> list_folders(const std::filesystem::path& folder);

}  // namespace pixart::data
