// The numbers of a step in the memory of a GPU, where kernels read them, so that their arguments are the same at each step.
#pragma once
#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>

#include <array>
#include <memory>

#include "kernels/clip.h"
#include "pixart/optim/adamw.h"

namespace pixart::optim {

class DeviceNumbers {
 public:
  // For at most `bytes`, all allocated here.
  DeviceNumbers(size_t bytes, const at::Device& device);
  // Copies `bytes` to the device in the current stream, and returns where they will be: the same address at each call. The host
  // does not wait, unless four copies are under way.
  void* send(const void* numbers, size_t bytes);
  size_t capacity() const { return size_t(on_device_.numel()); }  // bytes

 private:
  struct Slot {
    at::Tensor pinned;
    std::unique_ptr<c10::Event> copied;  // null: never used
  };
  at::Tensor on_device_;
  std::array<Slot, 4> slots_;
  size_t next_ = 0;
};

// As arguments of kernels.
kernels::DeviceNorm device_norm(const GradientScale& scale);

}  // namespace pixart::optim
