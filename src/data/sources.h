// One function per kind of source, which opens or lists it; see registry.cpp.
#pragma once
#include <functional>
#include <memory>
#include <optional>

#include "pixart/data/dataset.h"
#include "records.h"

namespace pixart::data {

std::unique_ptr<Dataset> open_idx(const SourceConfig& config);
std::unique_ptr<Dataset> open_scenes(const SourceConfig& config);
Listing list_image_folder(const SourceConfig& config, ListingWatch& watch);
Listing list_class_folder(const SourceConfig& config, ListingWatch& watch);
Listing list_official(const SourceConfig& config, ListingWatch& watch);
Listing list_table(const SourceConfig& config, ListingWatch& watch);
Listing list_webdataset(const SourceConfig& config, ListingWatch& watch);

struct PlacedRows;  // placed_rows.h

// A source that a function lists: its index, or the list in memory.
struct ListedSource {
  std::function<Listing(const SourceConfig&, ListingWatch&)> list = {};
  // The files that a glob names, if the path may be one.
  std::vector<std::filesystem::path> (*files)(const SourceConfig&) = nullptr;
  bool compares_names = false;                  // of these files, also if the path is a folder
  std::shared_ptr<const PlacedRows> rows = {};  // of a source whose rows are read by place
};
ListedSource listed_parquet(const SourceConfig& config);
ListedSource listed_mds(const SourceConfig& config);
// How the source is listed; nothing: it is opened in another way.
std::optional<ListedSource> listed_source(const SourceConfig& config);
std::unique_ptr<Dataset> open_listed(const SourceConfig& config, const ListedSource& source,
                                     const IndexPlace& place);

// The source while images of it must still be drawn; otherwise null.
std::unique_ptr<Dataset> planned_images(const SourceConfig& config);

// Throws UserError unless the source's path is a folder.
void require_folder(const SourceConfig& config);

// "source NAME (FOLDER)", as the subject of a list of problems.
std::string subject_of(const SourceConfig& config);

}  // namespace pixart::data
