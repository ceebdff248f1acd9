#include <algorithm>
#include <map>
#include <set>

#include "pixart/base/error.h"
#include "pixart/base/words.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

namespace {

using Open = std::unique_ptr<Dataset> (*)(const SourceConfig&);

const std::map<std::string, Open>& openers() {
  static const std::map<std::string, Open> all = {
      {"class_folder", open_class_folder}, {"idx", open_idx},       {"image_folder", open_image_folder},
      {"pixart", open_official},           {"scenes", open_scenes}, {"table", open_table},
      {"webdataset", open_webdataset}};
  return all;
}

// Whether `folder` stays below the source's folder.
bool is_sub_folder(const std::string& folder) {
  const fs::path path = fs::path(folder).lexically_normal();
  return !path.empty() && path.is_relative() && *path.begin() != ".." && path != ".";
}

}  // namespace

std::unique_ptr<Dataset> open_dataset(const SourceConfig& config) {
  const auto found = openers().find(config.type);
  if (found != openers().end()) return found->second(config);
  std::vector<std::string> known;
  for (const auto& [type, open] : openers()) known.push_back(type);
  throw UserError(fmt::format("source {}: unknown type '{}'; known are {}.{}", config.name, config.type,
                              join(known, ", "), did_you_mean(config.type, known)));
}

void SourceConfig::validate(std::vector<std::string>& problems) const {
  if (openers().count(type) == 0) return;  // reported with the key itself
  const SourceConfig defaults;
  const auto only = [&](const char* key, const char* kind, bool changed) {
    if (changed && type != kind)
      problems.push_back(fmt::format("{} has an effect with type: {} only, here it is {}", key, kind, type));
  };
  only("include", "image_folder", !include.empty());
  only("images", "table", !images.empty());
  only("image_column", "table", !image_column.empty());
  only("label_column", "table", !label_column.empty());
  only("count", "scenes", count != defaults.count);
  only("style", "scenes", style != defaults.style);
  only("seed", "scenes", seed != defaults.seed);
  const bool fixed = type == "idx" || type == "scenes";
  if (fixed && !captions.empty())
    problems.push_back(fmt::format("captions has no effect with type: {}, which makes its own", type));
  if (missing_caption != defaults.missing_caption && (fixed || type == "class_folder"))
    problems.push_back(
        fmt::format("missing_caption has no effect with type: {}, where none is missing", type));
  std::set<std::string> kinds;
  for (const auto& caption : captions) {
    if (!kinds.insert(caption.name).second)
      problems.push_back(fmt::format("captions: the kind {} is named twice", caption.name));
    if (!caption.from.empty() && !caption.column.empty())
      problems.push_back(
          fmt::format("captions: {} comes from a file or from a column, not from both", caption.name));
  }
  if (type == "scenes" && !path.empty())
    problems.push_back("path has no effect with type: scenes, which draws its pictures");
  if (type != "scenes" && path.empty()) problems.push_back("path is missing: the folder of the source");
  for (const auto& folder : include)
    if (!is_sub_folder(folder))
      problems.push_back(fmt::format("include: '{}' is no sub-folder; names are relative to path", folder));
}

void require_folder(const SourceConfig& config) {
  std::error_code error;
  if (fs::is_directory(config.path, error)) return;
  const char* what = fs::exists(config.path, error) ? "is no folder" : "does not exist";
  throw UserError(fmt::format("source {}: {} {}. Set the path of this source to the folder of its pictures.",
                              config.name, config.path.string(), what));
}

std::string subject_of(const SourceConfig& config) {
  return fmt::format("source {} ({})", config.name, config.path.string());
}

}  // namespace pixart::data
