// The errors of a CUDA device as LibTorch throws them.
#pragma once
#include <cstddef>

namespace fake_gpu {

// Throws c10::AcceleratorError if the device is broken; such an error stays.
void throw_if_broken();
[[noreturn]] void throw_out_of_memory(int device, size_t bytes);

}  // namespace fake_gpu
