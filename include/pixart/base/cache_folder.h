// The user's cache folder: files that the program can make again.
#pragma once
#include <filesystem>

namespace pixart {

// ${XDG_CACHE_HOME:-~/.cache}/pixart. The folder may be missing or not writable. Returns "" if neither
// XDG_CACHE_HOME nor HOME names an absolute path.
std::filesystem::path user_cache_folder();

}  // namespace pixart
