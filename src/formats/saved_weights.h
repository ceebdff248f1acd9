// Weights of a checkpoint of this program. No value is used before it was compared with manifest.json.
#pragma once
#include <filesystem>
#include <optional>

#include "pixart/formats/manifest.h"
#include "pixart/formats/weights.h"

namespace pixart::formats {

// The record of `file` in the manifest of its folder; nullopt if the folder is not a checkpoint or its
// manifest does not name the file. Compares its size and header. Throws UserError.
std::optional<FileRecord> saved_record(const std::filesystem::path& file);

// The same weights; each tensor is compared with the manifest when it is read.
Weights compared(Weights weights, const std::filesystem::path& file, const FileRecord& record);

// The weights of a checkpoint folder: "model" or "ema".
Weights open_saved(const std::filesystem::path& folder, const std::string& which);

}  // namespace pixart::formats
