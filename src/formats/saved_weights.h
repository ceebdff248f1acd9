// Weights of a checkpoint of ours: nothing in them is believed before it was compared with manifest.json.
#pragma once
#include <filesystem>
#include <optional>

#include "pixart/formats/manifest.h"
#include "pixart/formats/weights.h"

namespace pixart::formats {

// The record of `file` in the manifest of its folder; nothing where the folder is not a checkpoint or its
// manifest does not name the file. Its size and header have been compared when this returns. Throws
// UserError.
std::optional<FileRecord> saved_record(const std::filesystem::path& file);

// The same weights; each tensor is compared when it is read.
Weights compared(Weights weights, const std::filesystem::path& file, const FileRecord& record);

// Of a checkpoint folder: "model", or "ema".
Weights open_saved(const std::filesystem::path& folder, const std::string& which);

}  // namespace pixart::formats
