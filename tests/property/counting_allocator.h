// Counts what tensors take: once installed, LibTorch's CPU allocations pass through it until the process
// ends.
#pragma once
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdint>

namespace pixart::testing {

class CountingAllocator : public c10::Allocator {
 public:
  // The one; installed at the first call. Never destroyed: tensors in LibTorch's caches outlive main().
  static CountingAllocator& instance() {
    static auto* const allocator = new CountingAllocator;
    return *allocator;
  }

  c10::DataPtr allocate(size_t bytes) override {
    auto* block = new Block{inner_->allocate(bytes), int64_t(bytes)};
    const int64_t now = (live_ += block->bytes);
    int64_t peak = peak_;
    while (now > peak && !peak_.compare_exchange_weak(peak, now)) {
    }
    return {block->memory.get(), block, &CountingAllocator::release, c10::DeviceType::CPU};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

  int64_t live_bytes() const { return live_; }
  int64_t peak_bytes() const { return peak_; }
  void forget_peak() { peak_ = live_.load(); }

 private:
  static constexpr uint8_t kPriority = 100;
  struct Block {
    c10::DataPtr memory;
    int64_t bytes;
  };
  CountingAllocator() : inner_(c10::GetCPUAllocator()) { c10::SetCPUAllocator(this, kPriority); }
  static void release(void* context) {
    auto* block = static_cast<Block*>(context);
    instance().live_ -= block->bytes;
    delete block;
  }
  c10::Allocator* inner_;
  std::atomic<int64_t> live_ = 0, peak_ = 0;
};

}  // namespace pixart::testing
