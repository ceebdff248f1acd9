#include "sampling.h"

#include "pixart/base/file.h"

namespace pixart::score {
namespace fs = std::filesystem;
using nlohmann::ordered_json;

ordered_json sampling_of(const fs::path& folder) {
  const fs::path record = folder / "sample.json";
  if (!fs::is_regular_file(record)) return nullptr;
  const auto json = ordered_json::parse(read_file(record), nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || !json.contains("settings") || !json["settings"].is_object()) return nullptr;
  ordered_json sampling = ordered_json::object();
  for (const char* name :
       {"prompts_sha256", "prompts", "count", "negative_prompt", "seed", "sampler", "num_steps", "guidance",
        "height", "width", "weights", "precision", "tile_size", "suite", "process"})
    if (json["settings"].contains(name)) sampling[name] = json["settings"][name];
  return sampling;
}

}  // namespace pixart::score
