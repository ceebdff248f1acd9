#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>

#include "loss_element.h"

namespace pixart::diffusion::kernels {

namespace {

constexpr int kThreads = 128, kWarpThreads = 32;
constexpr int64_t kMostRows = 65535;  // of a grid in y

__device__ double sum_over_warp(double value) {
  for (int lanes = kWarpThreads / 2; lanes > 0; lanes /= 2)
    value += __shfl_xor_sync(0xffffffffu, value, lanes);
  return value;
}

// The sum over the block, in thread 0; always in the same order.
__device__ double sum_over_block(double value, double* of_warps) {
  value = sum_over_warp(value);
  if (threadIdx.x % kWarpThreads == 0) of_warps[threadIdx.x / kWarpThreads] = value;
  __syncthreads();
  double total = 0;
  for (int warp = 0; warp < kThreads / kWarpThreads; ++warp) total += of_warps[warp];
  return total;
}

// A block for each piece of an image.
template <class Output>
__global__ void loss_kernel(LossInputs<Output> inputs, LossSetting setting, LossResults results) {
  __shared__ double mse_of_warps[kThreads / kWarpThreads], vb_of_warps[kThreads / kWarpThreads];
  const int64_t chunks = loss_chunks(setting.per_image), chunk = blockIdx.x;
  for (int64_t image = blockIdx.y; image < setting.batch; image += gridDim.y) {
    const LossColumn column(setting.tables, inputs.t[image]);
    double mse = 0, vb = 0;
    const int64_t last = (chunk + 1) * kLossChunk, end = last < setting.per_image ? last : setting.per_image;
    for (int64_t i = chunk * kLossChunk + threadIdx.x; i < end; i += kThreads) {
      const LossValue value = loss_of(setting, column, point_at(inputs, setting, image, i));
      mse += double(value.mse);
      vb += double(value.vb);
    }
    mse = sum_over_block(mse, mse_of_warps);
    vb = sum_over_block(vb, vb_of_warps);
    if (threadIdx.x == 0) {
      results.partials[2 * (image * chunks + chunk)] = mse;
      results.partials[2 * (image * chunks + chunk) + 1] = vb;
    }
    __syncthreads();  // the next image writes to the same shared memory
  }
}

__global__ void loss_finish_kernel(LossSetting setting, LossResults results, const int64_t* t) {
  for (int64_t image = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; image < setting.batch;
       image += int64_t(gridDim.x) * blockDim.x)
    finish_image(setting, results, t, image);
}

template <class Output>
__global__ void loss_gradient_kernel(LossInputs<Output> inputs, LossSetting setting, const float* scale,
                                     Output* gradient) {
  for (int64_t image = blockIdx.y; image < setting.batch; image += gridDim.y) {
    const LossColumn column(setting.tables, inputs.t[image]);
    const ElementScales scales(setting, column, scale[image]);
    for (int64_t i = int64_t(blockIdx.x) * blockDim.x + threadIdx.x; i < setting.per_image;
         i += int64_t(gridDim.x) * blockDim.x)
      write_slope(setting, gradient, image, i,
                  slope_of(setting, column, point_at(inputs, setting, image, i), scales.mse, scales.vb));
  }
}

dim3 grid_of(const LossSetting& setting, int64_t blocks) {
  return dim3(unsigned(std::max(blocks, int64_t{1})),
              unsigned(std::clamp(setting.batch, int64_t{1}, kMostRows)));
}

const char* error_of_launch() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace

template <class Output>
const char* loss_cuda(const LossInputs<Output>& inputs, const LossSetting& setting,
                      const LossResults& results, void* stream) {
  const auto on = static_cast<cudaStream_t>(stream);
  const int64_t chunks = loss_chunks(setting.per_image);
  loss_kernel<Output><<<grid_of(setting, chunks), kThreads, 0, on>>>(inputs, setting, results);
  if (const char* error = error_of_launch()) return error;
  const auto blocks = unsigned(std::max((setting.batch + kThreads - 1) / kThreads, int64_t{1}));
  loss_finish_kernel<<<blocks, kThreads, 0, on>>>(setting, results, inputs.t);
  return error_of_launch();
}

template <class Output>
const char* loss_gradient_cuda(const LossInputs<Output>& inputs, const LossSetting& setting,
                               const float* scale, Output* gradient, void* stream) {
  const int64_t blocks = (setting.per_image + kThreads - 1) / kThreads;
  loss_gradient_kernel<Output><<<grid_of(setting, blocks), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      inputs, setting, scale, gradient);
  return error_of_launch();
}

template const char* loss_cuda(const LossInputs<float>&, const LossSetting&, const LossResults&, void*);
template const char* loss_cuda(const LossInputs<Bfloat16Bits>&, const LossSetting&, const LossResults&,
                               void*);
template const char* loss_gradient_cuda(const LossInputs<float>&, const LossSetting&, const float*, float*,
                                        void*);
template const char* loss_gradient_cuda(const LossInputs<Bfloat16Bits>&, const LossSetting&, const float*,
                                        Bfloat16Bits*, void*);

}  // namespace pixart::diffusion::kernels
