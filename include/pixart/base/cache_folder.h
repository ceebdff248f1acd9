// Where the user's machine keeps what can be made again.
#pragma once
#include <filesystem>

namespace pixart {

// ${XDG_CACHE_HOME:-~/.cache}/pixart, which may not exist and may not be writable; "" where the environment
// names none.
std::filesystem::path user_cache_folder();

}  // namespace pixart
