#include "allocators.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <mutex>

#include "device_error.h"
#include "memory.h"
#include "record.h"
#include "settings.h"
#include "streams.h"
#include "tensors.h"

namespace fake_gpu {

namespace {

void release_device_memory(void* memory) {
  if (memory == nullptr) return;
  const Freed freed = free_memory(memory);
  for (const Stream user : freed.users) join_streams(freed.stream, user);
}

class DeviceMemory final : public c10::DeviceAllocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    const int device = current_device();
    const c10::Device where(c10::kCUDA, c10::DeviceIndex(device));
    if (bytes == 0) return {nullptr, nullptr, &release_device_memory, where};
    throw_if_broken();
    set_device(device);
    make_context(device);
    void* memory = allocate_memory(device, bytes, current_stream(device));
    if (memory == nullptr) throw_out_of_memory(device, bytes);
    return {memory, memory, &release_device_memory, where};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release_device_memory; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    std::memcpy(seen_by_kernels(to), seen_by_kernels(from), bytes);
  }
  bool initialized() override { return true; }
  void emptyCache(c10::MempoolId_t) override {
    for (int device = 0; device < settings().devices; ++device)
      if (memory_use(device).reserved > 0) return_free_memory(device);
  }
  void recordStream(const c10::DataPtr& data, c10::Stream stream) override {
    if (data.get() != nullptr) note_memory_user(data.get(), stream_of(stream.device_index(), stream.id()));
  }
  c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex device) override {
    const MemoryUse use = memory_use(device);
    c10::CachingDeviceAllocator::DeviceStats stats;
    stats.allocated_bytes[0].current = use.current;
    stats.allocated_bytes[0].peak = use.peak;
    stats.reserved_bytes[0].current = stats.reserved_bytes[0].peak = use.reserved;
    stats.num_ooms = use.refused;
    return stats;
  }
  void resetAccumulatedStats(c10::DeviceIndex) override {}
  void resetPeakStats(c10::DeviceIndex device) override { reset_peak(device); }
  std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex device) override {
    return {settings().bytes - size_t(memory_use(device).reserved), settings().bytes};
  }
};

std::mutex g_pinned_mutex;
std::map<const char*, size_t> g_pinned;  // begin and size

void release_pinned(void* memory) {
  finish_early(memory);
  {
    const std::scoped_lock lock(g_pinned_mutex);
    g_pinned.erase(static_cast<char*>(memory));
  }
  std::free(memory);
}

class PinnedMemory final : public c10::Allocator {
 public:
  c10::DataPtr allocate(size_t bytes) override {
    constexpr size_t kAlignment = 64;
    void* memory = std::aligned_alloc(kAlignment, (bytes / kAlignment + 1) * kAlignment);
    if (launches_of_thread() > 0 && !is_in_kernel())
      count_operation_on_host("pinned memory", int64_t(bytes), false);
    const std::scoped_lock lock(g_pinned_mutex);
    g_pinned[static_cast<char*>(memory)] = std::max<size_t>(bytes, 1);
    return {memory, memory, &release_pinned, c10::Device(c10::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &release_pinned; }
  void copy_data(void* to, const void* from, size_t bytes) const override { std::memcpy(to, from, bytes); }
};

}  // namespace

c10::DeviceAllocator* device_allocator() {
  static auto* result = new DeviceMemory;
  return result;
}

c10::Allocator* pinned_allocator() {
  static auto* result = new PinnedMemory;
  return result;
}

bool is_pinned(const void* memory) { return pinned_allocation(memory) != nullptr; }

const void* pinned_allocation(const void* memory) {
  const std::scoped_lock lock(g_pinned_mutex);
  const auto after = g_pinned.upper_bound(static_cast<const char*>(memory));
  if (after == g_pinned.begin()) return nullptr;
  const auto& [begin, bytes] = *std::prev(after);
  return static_cast<const char*>(memory) < begin + bytes ? begin : nullptr;
}

}  // namespace fake_gpu
