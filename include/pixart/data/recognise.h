// Tells from a file or folder which type of source it is.
#pragma once
#include <filesystem>
#include <memory>
#include <string>

#include "pixart/data/dataset.h"

namespace pixart::data {

// The type of a source with this path: the name of a file or glob, or what most files of a folder are,
// decides; a stray file does not. Throws UserError if it is not a source, or if a folder holds splits (train,
// test) that are not classes.
std::string recognised_type(const std::string& path);

// The images at a path that is not a source of a run file, such as a folder of drawn images: folders in it are
// not classes, captions may be missing, and rejected rows do not end it (see Dataset::rejected()).
std::unique_ptr<Dataset> open_image_set(const std::filesystem::path& path);

}  // namespace pixart::data
