// The memory of this machine.
#pragma once
#include <cstdint>

namespace pixart {

// Main memory that this process may use: the machine's, or the cgroup's limit if that is smaller.
uint64_t total_memory_bytes();
uint64_t available_memory_bytes();  // free, or can be freed by the kernel

}  // namespace pixart
