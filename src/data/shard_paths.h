// Finds the tar files that the path of a webdataset source names.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "pixart/data/dataset.h"

namespace pixart::data {

// Expands ranges as WebDataset and shells do: "a-{000..003}.tar" -> a-000.tar, ..., a-003.tar, with any
// number of ranges and at most a million results. Returns a text without ranges unchanged. Throws UserError
// for a descending or too long range.
std::vector<std::string> expand_ranges(const std::string& text);

// The file, the .tar files of the folder (not of its sub-folders), or the files that ranges and globs match;
// sorted. Throws one UserError that names every file that does not exist. Of shards on servers, the paths under
// which they are read (remote_shards.h); whether they exist is seen when they are opened.
std::vector<std::filesystem::path> find_shards(const SourceConfig& config);

}  // namespace pixart::data
