// Device memory: the host cannot touch it (PROT_NONE); kernels use a second mapping of the same pages. As in
// LibTorch's allocator, memory that a stream has freed is first used again by the same stream. Fresh memory
// holds bytes of 255, which are NaN in every floating-point type.
#pragma once
#include <cstddef>
#include <cstdint>
#include <set>

namespace fake_gpu {

struct MemoryUse {
  int64_t current = 0, peak = 0, reserved = 0, refused = 0;
};

// Null if the device has no `bytes` left.
void* allocate_memory(int device, size_t bytes, int64_t stream);
// The streams that have used the memory in addition to that which allocated it.
struct Freed {
  int64_t stream = 0;
  std::set<int64_t> users;
};
Freed free_memory(void* memory);
void note_memory_user(void* memory, int64_t stream);

int device_of_memory(const void* memory);   // -1: not memory of a device
void* seen_by_kernels(const void* memory);  // the second mapping
// Whether `bytes` at `memory` are in one allocation that is not freed.
bool is_allocated(const void* memory, size_t bytes);
// From `memory` to the end of its allocation; 0 if it is freed.
size_t bytes_left(const void* memory);

MemoryUse memory_use(int device);
void reset_peak(int device);
void return_free_memory(int device);  // of all streams

}  // namespace fake_gpu
