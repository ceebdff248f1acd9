// What the kernels of the program (cuda/) and the fake NCCL ask of the fake GPU. They find these functions
// with dlsym, so they work without it, too, on memory of the host.
#pragma once
#include <cstddef>

extern "C" {
// Null if it is not memory of a device.
void* fake_gpu_seen_by_kernels(const void* memory);
// A kernel of the program begins; it may write all the memory from each address to the end of its allocation.
// Returns CUDA's error code.
int fake_gpu_launch(const char* name, void* stream, void* const* memory, size_t count);
// Work on a stream reads or writes these bytes.
void fake_gpu_touch(const void* memory, size_t bytes, int writes, void* stream, const char* what);
void fake_gpu_add_collective(const char* call, void* stream);
void fake_gpu_report_fault(const char* what);
void fake_gpu_stall(void* stream);
void fake_gpu_free_stalled();
}
