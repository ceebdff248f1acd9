#include <algorithm>
#include <map>

#include "pixart/base/error.h"
#include "sources.h"

namespace pixart::data {
namespace fs = std::filesystem;

std::unique_ptr<Dataset> open_dataset(const SourceConfig& config) {
  using Open = std::unique_ptr<Dataset> (*)(const SourceConfig&);
  static const std::map<std::string, Open> openers = {
      {"image_folder", open_image_folder}, {"class_folder", open_class_folder}, {"idx", open_idx}, {"scenes", open_scenes}};
  const auto found = openers.find(config.type);
  PIXART_CHECK(found != openers.end(), "source type {} passed the config check", config.type);
  return found->second(config);
}

void SourceConfig::validate(std::vector<std::string>& problems) const {
  const SourceConfig defaults;
  const auto only = [&](const char* key, const char* kind, bool changed) {
    if (changed && type != kind) problems.push_back(fmt::format("{} has an effect with type: {} only, here it is {}", key, kind, type));
  };
  only("missing_caption", "image_folder", missing_caption != defaults.missing_caption);
  only("include", "image_folder", !include.empty());
  only("count", "scenes", count != defaults.count);
  only("style", "scenes", style != defaults.style);
  only("seed", "scenes", seed != defaults.seed);
  if (type == "scenes" && !path.empty()) problems.push_back("path has no effect with type: scenes, which draws its pictures");
  if (type != "scenes" && path.empty()) problems.push_back("path is missing: the folder of the source");
}

void require_folder(const SourceConfig& config) {
  if (fs::is_directory(config.path)) return;
  throw UserError(fmt::format("source {}: {} {}. Set sources.{}.path to the folder of the pictures.", config.name, config.path.string(),
                              fs::exists(config.path) ? "is no folder" : "does not exist", config.name));
}

std::vector<std::string> list_pictures(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::recursive_directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    std::string extension = at->path().extension();
    std::transform(extension.begin(), extension.end(), extension.begin(), [](unsigned char c) { return char(std::tolower(c)); });
    const bool is_picture = extension == ".png" || extension == ".jpg" || extension == ".jpeg" || extension == ".webp";
    if (is_picture && at->is_regular_file()) names.push_back(at->path().lexically_relative(folder).generic_string());
  }
  if (error) throw UserError(fmt::format("cannot list {}: {}.", folder.string(), error.message()));
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace pixart::data
