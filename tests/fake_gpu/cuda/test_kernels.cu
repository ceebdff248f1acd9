// Kernels that use what a kernel may use, for kernels_test.cpp.
#include <cuda_runtime.h>

#include "test_kernels.h"

namespace {

__device__ float sum_of_block(float value) {
  __shared__ float parts[32];
  for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(0xffffffff, value, lanes);
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (unsigned warp = 0; warp < blockDim.x / 32; ++warp) sum += parts[warp];
  __syncthreads();
  return sum;
}

// One block a row.
__global__ void normalize_kernel(const float* rows, float* out, int width) {
  const float* row = rows + int64_t(blockIdx.x) * width;
  float sum = 0, squares = 0;
  for (int i = threadIdx.x; i < width; i += blockDim.x) sum += row[i];
  const float mean = sum_of_block(sum) / width;
  for (int i = threadIdx.x; i < width; i += blockDim.x) squares += (row[i] - mean) * (row[i] - mean);
  const float factor = rsqrtf(sum_of_block(squares) / width + 1e-6F);
  for (int i = threadIdx.x; i < width; i += blockDim.x)
    out[int64_t(blockIdx.x) * width + i] = (row[i] - mean) * factor;
}

// Each value comes from the opposite place of its block, through shared memory.
__global__ void reverse_kernel(const float* in, float* out, bool with_barrier) {
  extern __shared__ float values[];
  values[threadIdx.x] = in[blockIdx.x * blockDim.x + threadIdx.x];
  if (with_barrier) __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = values[blockDim.x - 1 - threadIdx.x];
}

// The first warp alone adds its lanes; the others end.
template <class T>
__global__ void first_warp_kernel(const T* in, T* out) {
  if (threadIdx.x >= 32) return;
  T value = in[threadIdx.x];
  for (unsigned lanes = 16; lanes > 0; lanes /= 2) value += __shfl_down_sync(0xffffffff, value, lanes);
  if (threadIdx.x == 0) *out = value;
}

__global__ void split_barriers_kernel() {
  if (threadIdx.x % 2 == 0)
    __syncthreads();
  else
    __syncthreads();
}

}  // namespace

void normalize(const float* rows, float* out, int num_rows, int width) {
  normalize_kernel<<<num_rows, 128>>>(rows, out, width);
}

void reverse_in_blocks(const float* in, float* out, int blocks, int threads, bool with_barrier) {
  reverse_kernel<<<blocks, threads, threads * sizeof(float), nullptr>>>(in, out, with_barrier);
}

void sum_first_warp(const double* in, double* out) { first_warp_kernel<double><<<1, 96>>>(in, out); }

const char* split_barriers(int threads) {
  split_barriers_kernel<<<1, threads>>>();
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}
