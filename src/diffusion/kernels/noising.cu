#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "noising_element.h"

namespace pixart::diffusion::kernels {

namespace {

constexpr int kThreads = 128;
constexpr int64_t kMostBlocks = 4096;  // several waves on the largest GPU; the loop covers the rest

struct SinCosPi {
  __device__ void operator()(double x, double* sine, double* cosine) const { sincospi(x, sine, cosine); }
};

// 16 bytes at once, if all rows allow it.
struct Memory {
  bool aligned;
  int count;
  __device__ Four operator()(const float* from) const {
    Four result;
    if (aligned) {
      const float4 loaded = *reinterpret_cast<const float4*>(from);
      result.values[0] = loaded.x, result.values[1] = loaded.y;
      result.values[2] = loaded.z, result.values[3] = loaded.w;
    } else {
      for (int k = 0; k < 4; ++k) result.values[k] = k < count ? from[k] : 0.0F;
    }
    return result;
  }
  __device__ void operator()(float* to, const Four& four) const {
    if (aligned) {
      *reinterpret_cast<float4*>(to) =
          make_float4(four.values[0], four.values[1], four.values[2], four.values[3]);
    } else {
      for (int k = 0; k < 4; ++k)
        if (k < count) to[k] = four.values[k];
    }
  }
};

__global__ void noising_kernel(NoisingBuffers buffers, NoisingSizes sizes, bool aligned) {
  const int64_t groups = groups_of(sizes), stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < sizes.batch * groups; i += stride) {
    const int64_t image = i / groups, group = i % groups;
    const Memory memory{aligned, elements_of(sizes, group)};
    noise_group(buffers, sizes, image, group, SinCosPi(), memory, memory);
  }
}

__global__ void normals_kernel(const int64_t* positions, float* out, NoisingSizes sizes) {
  const int64_t groups = groups_of(sizes), stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < sizes.batch * groups; i += stride)
    draw_group(positions, out, sizes, i / groups, i % groups, SinCosPi());
}

bool is_aligned(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % sizeof(float4) == 0;
}

bool are_aligned(const NoisingBuffers& b, const NoisingSizes& sizes) {
  return sizes.per_image % 4 == 0 && is_aligned(b.mean) && is_aligned(b.log_var) &&
         is_aligned(b.given_posterior) && is_aligned(b.given_noise) && is_aligned(b.x_start) &&
         is_aligned(b.noise) && is_aligned(b.x_t);
}

unsigned blocks_for(const NoisingSizes& sizes) {
  const int64_t threads = sizes.batch * groups_of(sizes);
  return unsigned(std::clamp((threads + kThreads - 1) / kThreads, int64_t{1}, kMostBlocks));
}

const char* error_of_launch() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace

const char* noising_cuda(const NoisingBuffers& buffers, const NoisingSizes& sizes, void* stream) {
  noising_kernel<<<blocks_for(sizes), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      buffers, sizes, are_aligned(buffers, sizes));
  return error_of_launch();
}

const char* normals_cuda(const int64_t* positions, float* out, const NoisingSizes& sizes, void* stream) {
  normals_kernel<<<blocks_for(sizes), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(positions, out,
                                                                                        sizes);
  return error_of_launch();
}

}  // namespace pixart::diffusion::kernels
