// Reads the fields of rows of listings (tables, the official lists).
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "links.h"
#include "pixart/data/table_rows.h"
#include "read_bytes.h"
#include "records.h"

namespace pixart::data {

// What a message shows of a text of a file: of a long one its beginning and its end.
std::string shortened(const std::string& text);

// Sets `key` to the path in `field`, relative to `root`, normalised, with '/'. No path may leave `root`;
// absolute paths must be below it, as written or when links are followed. Otherwise returns what is wrong.
std::optional<ReadFault> path_in(const nlohmann::json& row, const std::string& field,
                                 const std::filesystem::path& root, std::string& key);

// A kind of caption and the field that holds it.
struct CaptionField {
  std::string kind, field;
};

// The `captions` of the config, without those from files of `pixart caption`.
std::vector<CaptionField> configured_captions(const SourceConfig& config);

// The problem of a key that names a column which does not exist: `shown` lists the columns, and the nearest of `known`
// is proposed.
std::string no_such_column(const std::string& key, const std::string& column,
                           const std::vector<std::string>& shown, const std::vector<std::string>& known);

// For the message about missing captions: the columns of these captions, and all columns.
std::string hint_of_columns(const SourceConfig& config, const std::vector<CaptionField>& captions,
                            const std::vector<std::string>& shown);

// Appends the captions that the row of file number `file` has, or returns what is wrong: a value that is neither
// a text nor a list of texts. The texts of a list are captions of one kind.
std::optional<ReadFault> add_captions(const TableRow& row, const std::vector<CaptionField>& fields,
                                      uint32_t file, std::vector<ListedText>& captions);

// Looks for the files of the records that are not rejected, in parts (listing_parts.h), of which this is the last step: sets
// their sizes, and rejects records whose file is missing, empty or not a regular file. A key with \ for / that names no
// file, as Windows writes paths, becomes the one that does. Record i is listed at offsets[i]. Records with latents and
// features are not rejected. A file that `links` does not admit is not read.
void find_files(const SourceConfig& config, Listing& listing, const SpilledVector<uint64_t>& offsets,
                Links& links, ListingWatch& watch);

}  // namespace pixart::data
