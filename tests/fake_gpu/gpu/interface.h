// What the kernels of the program (cuda/) and the fake NCCL ask of the fake GPU. They find these functions
// with dlsym, so they work without it, too, on memory of the host.
#pragma once
#include <cstddef>

extern "C" {
// Null if it is not memory of a device.
void* fake_gpu_seen_by_kernels(const void* memory);
// A kernel of the program begins. Returns CUDA's error code.
int fake_gpu_launch(const char* name, void* stream);
// 0 bytes: to the end of the allocation.
struct FakeGpuUse {
  const void* memory;
  size_t bytes;
  int writes;
};
// It has ended, and used this memory. Bytes that it has counted itself, or 0 and 0: all of it, both ways.
void fake_gpu_end_launch(const char* name, void* stream, const FakeGpuUse* uses, size_t count,
                         double bytes_read, double bytes_written);
// Work on a stream reads or writes these bytes.
void fake_gpu_touch(const void* memory, size_t bytes, int writes, void* stream, const char* what);
void fake_gpu_add_collective(const char* call, void* stream);
void fake_gpu_report_fault(const char* what);
void fake_gpu_stall(void* stream);
void fake_gpu_free_stalled();
}
