#include "pixart/base/clock.h"

#include <chrono>

namespace pixart {

double unix_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace pixart
