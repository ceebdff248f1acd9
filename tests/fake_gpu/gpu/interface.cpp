#include "interface.h"

#include "kernels.h"
#include "memory.h"
#include "races.h"
#include "record.h"
#include "streams.h"

using namespace fake_gpu;

void* fake_gpu_seen_by_kernels(const void* memory) {
  return device_of_memory(memory) < 0 ? nullptr : seen_by_kernels(memory);
}

int fake_gpu_launch(const char*, void* stream) {
  constexpr int kIllegalAddress = 700;
  if (is_broken()) return kIllegalAddress;
  begin_kernel(stream_of_handle(stream));
  return 0;
}

void fake_gpu_end_launch(const char* name, void* stream, const FakeGpuUse* uses, size_t count,
                         double bytes_read, double bytes_written) {
  const Work work = begin_work(stream_of_handle(stream));
  double all = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t left = bytes_left(uses[i].memory);
    if (left == 0) report_fault(std::string(name) + " uses device memory that is freed");
    const size_t bytes = uses[i].bytes > 0 ? uses[i].bytes : left;
    touch(work, uses[i].memory, bytes, uses[i].writes != 0, name);
    all += double(bytes);
  }
  const bool counted = bytes_read + bytes_written > 0;
  count_kernel(name, counted ? bytes_read : all, counted ? bytes_written : all);
}

void fake_gpu_touch(const void* memory, size_t bytes, int writes, void* stream, const char* what) {
  touch(begin_work(stream_of_handle(stream)), memory, bytes, writes != 0, what);
}

void fake_gpu_add_collective(const char* call, void* stream) {
  add_collective(std::string(call) + " stream " + std::to_string(id_of(stream_of_handle(stream))));
}
void fake_gpu_report_fault(const char* what) { report_fault(what); }
void fake_gpu_stall(void* stream) { stall(stream_of_handle(stream)); }
void fake_gpu_free_stalled() { free_stalled(); }
