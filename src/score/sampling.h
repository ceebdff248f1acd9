// How pixart sample drew the images of a folder.
#pragma once
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace pixart::score {

// The settings of sample.json. Null for folders without it.
nlohmann::ordered_json sample_record(const std::filesystem::path& folder);

// Of these settings what belongs to the protocol of a score: not which model drew the images.
nlohmann::ordered_json sampling_of(const nlohmann::ordered_json& record);

// Why the images of a folder (their paths below it) are not exactly those of its record: others, too many or too few,
// as a killed call leaves them, or some twice. "" if they are.
std::string fault_of_images(const nlohmann::ordered_json& record, const std::filesystem::path& folder,
                            const std::vector<std::string>& images);

}  // namespace pixart::score
