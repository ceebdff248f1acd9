#include <set>

#include "caption_table.h"
#include "pixart/base/error.h"
#include "pixart/base/names.h"
#include "pixart/config/config.h"
#include "pixart/data/web_address.h"
#include "scores.h"
#include "shard_paths.h"
#include "sources.h"
#include "table_files.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

// A kind of source. `keys`: the keys that have an effect for this kind, but not for all kinds.
struct SourceKind {
  std::string name;
  std::unique_ptr<Dataset> (*open)(const SourceConfig&);  // nullptr: it is listed
  std::vector<std::string> keys;
  bool is_drawn = false;  // drawn from the seed; otherwise it has a path
  ListedSource (*listed)(const SourceConfig&) = nullptr;
};

template <auto list, std::vector<fs::path> (*files)(const SourceConfig&) = nullptr>
ListedSource listed_by(const SourceConfig&) {
  return {.list = list, .files = files};
}

const std::vector<SourceKind>& source_table() {
  static const std::vector<SourceKind> table = {
      {"image_folder",
       nullptr,
       {"path", "captions", "caption_lines", "missing_caption", "damaged_images", "follow_links", "include",
        "prompt", "draw"},
       false,
       listed_by<list_image_folder>},
      {"class_folder",
       nullptr,
       {"path", "captions", "damaged_images", "follow_links"},
       false,
       listed_by<list_class_folder>},
      {"idx", open_idx, {"path", "follow_links"}},
      {"table",
       nullptr,
       {"path", "captions", "missing_caption", "damaged_images", "follow_links", "images", "image_column",
        "label_column"},
       false,
       listed_by<list_table, find_tables>},
      {"pixart",
       nullptr,
       {"path", "captions", "missing_caption", "damaged_images", "follow_links"},
       false,
       listed_by<list_official>},
      {"webdataset",
       nullptr,
       {"path", "captions", "missing_caption", "damaged_images", "follow_links", "cache_gb", "cache_folder"},
       false,
       listed_by<list_webdataset, find_shards>},
      {"parquet",
       nullptr,
       {"path", "captions", "missing_caption", "damaged_images", "follow_links", "images", "image_column",
        "label_column", "key_column"},
       false,
       listed_parquet},
      {"mds",
       nullptr,
       {"path", "captions", "missing_caption", "damaged_images", "follow_links", "image_column",
        "label_column", "key_column"},
       false,
       listed_mds},
      {"scenes", open_scenes, {"count", "style", "seed"}, /*is_drawn=*/true}};
  return table;
}

std::vector<std::string> types_with(const std::string& key) {
  std::vector<std::string> types;
  for (const auto& kind : source_table())
    if (contains(kind.keys, key)) types.push_back(kind.name);
  return types;
}

// Whether `folder` is below the source's folder.
bool is_sub_folder(const std::string& folder) {
  const fs::path path = fs::path(folder).lexically_normal();
  return !path.empty() && path.is_relative() && *path.begin() != ".." && path != ".";
}

}  // namespace

std::vector<std::string> source_types() { return names_of(source_table()); }

std::unique_ptr<Dataset> open_dataset(const SourceConfig& config, const IndexPlace& index) {
  const auto* kind = find_named(source_table(), config.type);
  if (kind == nullptr)
    throw UserError(
        fmt::format("source {}: {}", config.name, unknown_name("type", config.type, source_types())));
  auto dataset = planned_images(config);
  if (!dataset)
    dataset = kind->open != nullptr ? kind->open(config) : open_listed(config, kind->listed(config), index);
  dataset->treat_damaged_images(config.damaged_images);
  if (!config.scores.file.empty()) dataset->select(read_scores(config, *dataset));
  return dataset;
}

std::optional<ListedSource> listed_source(const SourceConfig& config) {
  const auto* kind = find_named(source_table(), config.type);
  return kind != nullptr && kind->listed != nullptr ? std::optional(kind->listed(config)) : std::nullopt;
}

bool SourceConfig::draws_scenes() const {
  const auto* kind = find_named(source_table(), type);
  return kind != nullptr && kind->is_drawn;
}

namespace {

void add_prompt_problems(const SourceConfig& source, std::vector<std::string>& problems) {
  if (source.draw > 0 && source.prompt.empty())
    problems.push_back("draw needs prompt: the caption that the images are drawn with");
  if (source.draw > 0 && !source.include.empty())
    problems.push_back("draw puts images into the folder itself, so it excludes include");
  if (source.draw > 0 && !source.scores.file.empty())
    problems.push_back("scores has no effect on images that must still be drawn; remove draw or scores");
  if (!source.prompt.empty() && (!source.captions.empty() || source.caption_lines != CaptionLines::kAll))
    problems.push_back(
        "captions and caption_lines have no effect with prompt, which is the caption of all images");
}

}  // namespace

void SourceConfig::validate(std::vector<std::string>& problems) const {
  const SourceKind* own = find_named(source_table(), type);
  if (own == nullptr) return;  // the key's own check reports it
  std::set<std::string> idle;
  for (const auto& value : config::values(*this)) {
    const std::string key = value.path.substr(0, value.path.find_first_of(".["));  // an entry's list
    const auto types = types_with(key);
    if (!types.empty() && !value.is_default && !contains(own->keys, key) && idle.insert(key).second)
      problems.push_back(
          fmt::format("{} has no effect with type: {}; it is a key of {}", key, type, join(types, ", ")));
  }
  std::set<std::string> kinds;
  for (const auto& caption : captions) {
    if (!kinds.insert(caption.name).second)
      problems.push_back(fmt::format("captions: the kind {} is named twice", caption.name));
    if (!caption.from.empty() && !caption.column.empty() && !may_have_columns(caption.from))
      problems.push_back(
          fmt::format("captions: {} comes from a file or from a column, not from both; only .parquet files "
                      "have columns",
                      caption.name));
  }
  if (is_address(path.native()) && !contains(own->keys, std::string("cache_gb")))
    problems.push_back(fmt::format("path is an address; shards on servers are read by type: {}",
                                   join(types_with("cache_gb"), ", ")));
  if (!own->is_drawn && path.empty()) problems.push_back("path is missing: the folder of the source");
  add_prompt_problems(*this, problems);
  for (const auto& folder : include)
    if (!is_sub_folder(folder))
      problems.push_back(
          fmt::format("include: '{}' is not a sub-folder; names are relative to path", folder));
}

void require_folder(const SourceConfig& config) {
  std::error_code error;
  if (fs::is_directory(config.path, error)) return;
  const char* what = fs::exists(config.path, error) ? "is not a folder" : "does not exist";
  throw UserError(fmt::format("source {}: {} {}. Set the path of this source to the folder of its images.",
                              config.name, config.path.string(), what));
}

std::string subject_of(const SourceConfig& config) {
  return fmt::format("source {} ({})", config.name, shown_address(config.path.string()));
}

}  // namespace pixart::data
