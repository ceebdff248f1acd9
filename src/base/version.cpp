#include "pixart/base/version.h"

namespace pixart {
std::string version() { return PIXART_VERSION; }
std::string producer() { return "pixart " + version(); }
}  // namespace pixart
