// One function per kind of source; see registry.cpp.
#pragma once
#include <memory>

#include "pixart/data/dataset.h"

namespace pixart::data {

std::unique_ptr<Dataset> open_image_folder(const SourceConfig& config);
std::unique_ptr<Dataset> open_class_folder(const SourceConfig& config);
std::unique_ptr<Dataset> open_idx(const SourceConfig& config);
std::unique_ptr<Dataset> open_official(const SourceConfig& config);
std::unique_ptr<Dataset> open_table(const SourceConfig& config);
std::unique_ptr<Dataset> open_webdataset(const SourceConfig& config);
std::unique_ptr<Dataset> open_scenes(const SourceConfig& config);

// Throws UserError unless the source's path is a folder.
void require_folder(const SourceConfig& config);

// "source NAME (FOLDER)", as the subject of a list of problems.
std::string subject_of(const SourceConfig& config);

}  // namespace pixart::data
