// LibTorch's allocators of device memory and of pinned memory of the host.
#pragma once
#include <c10/core/CachingDeviceAllocator.h>

namespace fake_gpu {

c10::DeviceAllocator* device_allocator();
c10::Allocator* pinned_allocator();
bool is_pinned(const void* memory);
// The begin of the pinned allocation that holds the address; null if there is none.
const void* pinned_allocation(const void* memory);

}  // namespace fake_gpu
