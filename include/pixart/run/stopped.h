// The error that ends work after a request to stop.
#pragma once
#include <fmt/format.h>

#include <string>

#include "pixart/base/error.h"

namespace pixart::run {

inline UserError stopped(const std::string& what) {
  return UserError(fmt::format("stopped on request: {}. The same command continues.", what),
                   ExitCode::kRequeue);
}

}  // namespace pixart::run
