// Counts what tensors take: once installed, LibTorch's CPU allocations pass through it until the process
// ends.
#pragma once
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <cstdint>
#include <mutex>
#include <unordered_map>

namespace pixart::testing {

class CountingAllocator : public c10::Allocator {
 public:
  // The one; installed at the first call. Never destroyed: tensors in LibTorch's caches outlive main().
  static CountingAllocator& instance() {
    static auto* const allocator = new CountingAllocator;
    return *allocator;
  }

  c10::DataPtr allocate(size_t bytes) override {
    void* memory = inner_->raw_allocate(bytes);
    const std::scoped_lock lock(mutex_);
    if (memory != nullptr) live_ += sizes_[memory] = int64_t(bytes);
    peak_ = std::max(peak_, live_);
    return {memory, memory, &CountingAllocator::release, c10::DeviceType::CPU};
  }
  // The memory is its own context, as callers of raw_allocate() (products in bfloat16) want it.
  c10::DeleterFnPtr raw_deleter() const override { return &CountingAllocator::release; }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  int64_t live_bytes() {
    const std::scoped_lock lock(mutex_);
    return live_;
  }
  int64_t peak_bytes() {
    const std::scoped_lock lock(mutex_);
    return peak_;
  }
  void forget_peak() {
    const std::scoped_lock lock(mutex_);
    peak_ = live_;
  }

 private:
  static constexpr uint8_t kPriority = 100;
  CountingAllocator() : inner_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, kPriority); }
  static void release(void* memory) {
    if (memory != nullptr) instance().forget(memory);
  }
  void forget(void* memory) {
    {
      const std::scoped_lock lock(mutex_);
      // What a library took from the allocator before this one may be given back to it.
      if (const auto found = sizes_.find(memory); found != sizes_.end()) {
        live_ -= found->second;
        sizes_.erase(found);
      }
    }
    inner_->raw_deallocate(memory);
  }
  c10::Allocator* inner_;
  std::mutex mutex_;
  std::unordered_map<void*, int64_t> sizes_;
  int64_t live_ = 0, peak_ = 0;
};

}  // namespace pixart::testing
