#include "pixart/base/machine.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif
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

#if defined(__x86_64__)

namespace {

// Bits of the processor's answers (AMX: Intel's manual, leaf 7; the system enables its state in XCR0 bits 17, 18).
constexpr unsigned kAmxBfloat16 = 1U << 22, kAvx512Bfloat16 = 1U << 5, kXsaveByTheSystem = 1U << 27;
constexpr unsigned kTileState = 3U << 17, kAvx512State = 7U << 5;

// The parts of the processor's state that the system saves.
unsigned saved_state() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kXsaveByTheSystem) == 0) return 0;
  __asm__ volatile("xgetbv" : "=a"(a), "=d"(d) : "c"(0));
  return a;
}

}  // namespace

CpuBfloat16 cpu_bfloat16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  const unsigned saved = saved_state();
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d & kAmxBfloat16) != 0 &&
      (saved & kTileState) == kTileState)
    return CpuBfloat16::kAmx;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvx512Bfloat16) != 0 &&
      (saved & kAvx512State) == kAvx512State)
    return CpuBfloat16::kAvx512;
  return CpuBfloat16::kNone;
}

#else

CpuBfloat16 cpu_bfloat16() { return CpuBfloat16::kNone; }

#endif

}  // namespace pixart
