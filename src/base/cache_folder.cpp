#include "pixart/base/cache_folder.h"

#include "pixart/base/env.h"

namespace pixart {
namespace fs = std::filesystem;

fs::path user_cache_folder() {
  fs::path base = environment_variable("XDG_CACHE_HOME").value_or("");
  if (!base.is_absolute()) {  // the XDG standard says to ignore relative paths
    const auto home = environment_variable("HOME");
    if (!home || home->empty()) return {};
    base = fs::path(*home) / ".cache";
  }
  return base / "pixart";
}

}  // namespace pixart
