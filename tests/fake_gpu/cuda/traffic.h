// The global memory that a kernel reads and writes through the intrinsics that say so (__ldg, __stwb), as a GPU
// would see it: the lanes of a warp that execute one instruction make one request, and memory moves in sectors
// of 32 bytes. Accesses by plain pointers are not seen.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "../gpu/interface.h"
#include "block.h"
#include "launch.h"

namespace cuda_on_cpu {

struct Traffic {
  int64_t bytes_read = 0, bytes_written = 0;  // a warp's bytes count once, also if all lanes read them
  int64_t requests = 0;                       // of warps
  int64_t sectors = 0, ideal_sectors = 0;     // touched by the requests; that their bytes would fill
};

// Of the last launch.
const Traffic& last_traffic();

void begin_traffic(const std::vector<Given>& given);  // of a launch
// The bytes that it has read and written, from the first to the last; all that it was given if it uses plain
// pointers.
std::vector<FakeGpuUse> uses_of_memory();
// The running thread reads or writes; the n-th time that the lanes of a warp are at a place is one request.
void count_access(const void* address, size_t bytes, bool writes, const Site& site);
void end_block();  // the next block begins

}  // namespace cuda_on_cpu
