// The user's home folder in paths.
#pragma once
#include <string>

namespace pixart {

// "~" and "~/a" with the home folder (HOME) in place of ~, as a shell writes them; any other path unchanged,
// also where HOME is not set. A folder that is called ~ is ./~.
std::string with_home(const std::string& path);

}  // namespace pixart
