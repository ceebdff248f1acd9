#pragma once
#include <string>

namespace pixart {
std::string version();   // "0.1.0"
std::string producer();  // "pixart 0.1.0", for the metadata of files that this program writes
}  // namespace pixart
