// What the tests of file readers share.
#pragma once
#include <string>

#include "pixart/base/bytes.h"
#include "scratch_folder.h"

namespace pixart::formats {

using Folder = testing::ScratchFolder;
using testing::refusal;

}  // namespace pixart::formats
