// Whether a device runs this module's own kernels.
#pragma once
#include <c10/core/Device.h>

#include <string>

namespace pixart::nn {

// Why the kernels of layers cannot run on the device, or "" if they can: a kernel that does nothing is launched
// at the first call. LibTorch's operations take their place. "" for a CPU.
const std::string& fused_kernel_problem(const c10::Device& device);

}  // namespace pixart::nn
