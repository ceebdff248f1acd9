#include "pipeline_folder.h"

#include <nlohmann/json.hpp>

#include "pixart/base/file.h"

namespace pixart::convert {
namespace fs = std::filesystem;

std::optional<fs::path> pipeline_file(const fs::path& path, const fs::path& name) {
  const fs::path place = fs::absolute(path), folder = fs::is_directory(place) ? place : place.parent_path();
  const fs::path whole = folder.lexically_normal();
  const fs::path named = whole.has_filename() ? whole : whole.parent_path();
  for (const fs::path& base : {named, named.filename() == "transformer" ? named.parent_path() : fs::path{}})
    if (!base.empty() && fs::exists(base / name)) return base / name;
  return std::nullopt;
}

std::optional<bool> is_of_sigma_pipeline(const fs::path& path) {
  constexpr uint64_t kLargestIndex = uint64_t{1} << 20;
  constexpr const char *kSigma = "PixArtSigma", *kAlpha = "PixArtAlpha";
  const auto index = pipeline_file(path, kPipelineIndex);
  if (!index) return std::nullopt;
  const auto json =
      nlohmann::json::parse(read_file(*index, kLargestIndex), nullptr, /*allow_exceptions=*/false);
  const std::string name = json.is_object() && json.contains("_class_name") && json["_class_name"].is_string()
                               ? json["_class_name"].get<std::string>()
                               : "";
  if (name.starts_with(kSigma)) return true;
  if (name.starts_with(kAlpha)) return false;
  return std::nullopt;
}

}  // namespace pixart::convert
