#include "pixart/base/machine.h"

#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <string>

namespace pixart {

uint64_t total_memory_bytes() {
  uint64_t bytes = uint64_t(::sysconf(_SC_PHYS_PAGES)) * uint64_t(::sysconf(_SC_PAGESIZE));
  for (const char* file : {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    uint64_t limit = 0;
    if (std::ifstream(file) >> limit && limit > 0) bytes = std::min(bytes, limit);  // "max" is not a number
  }
  return bytes;
}

uint64_t available_memory_bytes() {
  std::ifstream file("/proc/meminfo");
  std::string key, unit;
  for (uint64_t kibibytes = 0; file >> key >> kibibytes; std::getline(file, unit))
    if (key == "MemAvailable:") return std::min(kibibytes << 10, total_memory_bytes());
  return total_memory_bytes();
}

}  // namespace pixart
