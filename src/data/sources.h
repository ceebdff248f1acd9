// One function per kind of source; see registry.cpp.
#pragma once
#include "pixart/data/dataset.h"

namespace pixart::data {

std::unique_ptr<Dataset> open_image_folder(const SourceConfig& config);
std::unique_ptr<Dataset> open_class_folder(const SourceConfig& config);
std::unique_ptr<Dataset> open_idx(const SourceConfig& config);
std::unique_ptr<Dataset> open_scenes(const SourceConfig& config);

// Pictures (.png .jpg .jpeg .webp) below `folder`, relative paths, sorted. UserError if it cannot be listed.
std::vector<std::string> list_pictures(const std::filesystem::path& folder);

void require_folder(const SourceConfig& config);

}  // namespace pixart::data
