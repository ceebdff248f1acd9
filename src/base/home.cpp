#include "pixart/base/home.h"

#include "pixart/base/env.h"

namespace pixart {

std::string with_home(const std::string& path) {
  if (path != "~" && !path.starts_with("~/")) return path;
  const auto home = environment_variable("HOME");
  return home && !home->empty() ? *home + path.substr(1) : path;
}

}  // namespace pixart
