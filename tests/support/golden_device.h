// Where the losses and steps of golden cases are computed: on the CPU; or, in the programs of tests/fake_gpu, on the fake GPU by
// our kernels.
#pragma once
#include <ATen/core/Tensor.h>
#include <dlfcn.h>

#ifdef PIXART_FAKE_GPU_LIBRARY
#include "pixart/base/error.h"
#include "pixart/diffusion/noising.h"
#endif

namespace pixart::testing {

#ifdef PIXART_FAKE_GPU_LIBRARY
inline at::Device golden_device() {
  static const bool is_loaded = ::dlopen(PIXART_FAKE_GPU_LIBRARY, RTLD_NOW | RTLD_GLOBAL) != nullptr;
  const at::Device gpu(at::kCUDA, 0);
  if (!is_loaded || !diffusion::has_kernels(gpu)) throw UserError("the fake GPU does not run our kernels");
  return gpu;
}
#else
inline at::Device golden_device() { return at::kCPU; }
#endif

}  // namespace pixart::testing
