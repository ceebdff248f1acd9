// What rows of listings (tables, the official lists) say about a sample.
#pragma once
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "read_bytes.h"
#include "records.h"

namespace pixart::data {

// Sets `key` to the path in `field` below `root`, normalised, with '/'. Absolute paths must lie below `root`,
// and none may leave it. Returns what is wrong instead.
std::optional<ReadFault> path_in(const nlohmann::json& row, const std::string& field,
                                 const std::filesystem::path& root, std::string& key);

// A kind of caption and the field that holds it.
struct CaptionField {
  std::string kind, field;
};

// Of `captions` in the config, those that stand in files of their own left out.
std::vector<CaptionField> configured_captions(const SourceConfig& config);

// Appends the captions that the row has. Returns what is wrong instead: a value that is no text.
std::optional<ReadFault> add_captions(const nlohmann::json& row, const std::vector<CaptionField>& fields,
                                      std::vector<Caption>& captions);

// Looks for the files of the records that are not rejected, on several threads: sets their sizes, and rejects
// those whose file is missing, empty or no file. offsets[i] is where record i is listed. Where
// `may_lack_file` holds, nothing is rejected.
void find_files(Listing& listing, const std::vector<uint64_t>& offsets,
                const std::function<bool(const Record&)>& may_lack_file);

}  // namespace pixart::data
