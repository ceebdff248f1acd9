// What this machine has.
#pragma once
#include <cstdint>

namespace pixart {

// Main memory that this process may use: the machine's, or the cgroup's limit where that is less.
uint64_t total_memory_bytes();
uint64_t available_memory_bytes();  // free, or freed by the kernel when asked for

}  // namespace pixart
