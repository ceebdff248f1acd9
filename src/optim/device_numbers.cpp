#include "device_numbers.h"

#include <ATen/ATen.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstring>

#include "pixart/base/error.h"

namespace pixart::optim {

DeviceNumbers::DeviceNumbers(size_t bytes, const at::Device& device)
    : on_device_(at::empty({int64_t(bytes)}, at::TensorOptions(device).dtype(at::kByte))) {
  for (Slot& slot : slots_)
    slot.pinned = at::empty({int64_t(bytes)}, at::TensorOptions(at::kByte).pinned_memory(true));
}

void* DeviceNumbers::send(const void* numbers, size_t bytes) {
  PIXART_CHECK(int64_t(bytes) <= on_device_.numel(), "{} bytes for {}", bytes, on_device_.numel());
  const at::Device device = on_device_.device();
  Slot& slot = slots_.at(next_);
  next_ = (next_ + 1) % slots_.size();
  if (slot.copied && !slot.copied->query()) slot.copied->synchronize();
  std::memcpy(slot.pinned.mutable_data_ptr(), numbers, bytes);
  on_device_.copy_(slot.pinned, /*non_blocking=*/true);
  if (!slot.copied) slot.copied = std::make_unique<c10::Event>(device.type());
  const c10::impl::VirtualGuardImpl streams(device.type());
  slot.copied->record(streams.getStream(device));
  return on_device_.mutable_data_ptr();
}

kernels::DeviceNorm device_norm(const GradientScale& scale) {
  if (!scale.squared_norm.defined()) return {};
  PIXART_CHECK(scale.squared_norm.scalar_type() == at::kDouble && scale.squared_norm.numel() == 1,
               "a norm of type {}", c10::toString(scale.squared_norm.scalar_type()));
  return {.squared = scale.squared_norm.const_data_ptr<double>(), .most = scale.max_norm};
}

}  // namespace pixart::optim
