// The tar files that the path of a webdataset source names.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"

namespace pixart::data {

// "a-{000..003}.tar" -> a-000.tar, ..., a-003.tar, as WebDataset and shells write it; any number of ranges.
// At most a million; a text without a range is returned as it is. Throws UserError for a range that goes down
// or is too long.
std::vector<std::string> expand_ranges(const std::string& text);

// A file, the .tar files of a folder (not of its sub-folders), or what ranges and globs match; sorted. Throws
// one UserError that names every file that does not exist.
std::vector<std::filesystem::path> find_shards(const SourceConfig& config);

}  // namespace pixart::data
