// The memory and the processor of this machine.
#pragma once
#include <cstdint>

namespace pixart {

// Main memory that this process may use: the machine's, or the cgroup's limit if that is smaller.
uint64_t total_memory_bytes();
uint64_t available_memory_bytes();  // free, or can be freed by the kernel

// The instructions by which the processor multiplies bfloat16 numbers; LibTorch's matrix products use them.
enum class CpuBfloat16 { kNone, kAvx512, kAmx };
CpuBfloat16 cpu_bfloat16();

}  // namespace pixart
