// How pixart sample drew the images of a folder.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>

namespace pixart::score {

// What sample.json says, as far as it belongs to the protocol of a score: not which model drew the images. Null for other
// folders.
nlohmann::ordered_json sampling_of(const std::filesystem::path& folder);

}  // namespace pixart::score
