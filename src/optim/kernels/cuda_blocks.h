// What kernels of this module share: sums over the threads of a block, and the error of a launch.
#pragma once
#include <cuda_runtime.h>

namespace pixart::optim::kernels {

inline constexpr int kWarpThreads = 32;

// The sum over the warp, in all its threads; always in the same order.
template <class T>
__device__ inline T sum_over_warp(T value) {
  for (int lanes = kWarpThreads / 2; lanes > 0; lanes /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}

// The sum over a block of `threads`, in all its threads; always in the same order. `of_warps` is shared memory for one value of
// each warp.
__device__ inline double sum_over_block(double value, int threads, double* of_warps) {
  value = sum_over_warp(value);
  if (threadIdx.x % kWarpThreads == 0) of_warps[threadIdx.x / kWarpThreads] = value;
  __syncthreads();
  double total = 0;
  for (int warp = 0; warp < threads / kWarpThreads; ++warp) total += of_warps[warp];
  return total;
}

// CUDA's description of the error of the launches before; null if there is none.
inline const char* error_of_launch() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace pixart::optim::kernels
