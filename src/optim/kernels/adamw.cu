#include <algorithm>
#include <cstdint>

#include "adamw_element.h"
#include "cuda_blocks.h"

namespace pixart::optim::kernels {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kMaxBlocks = 4096;  // several waves on the largest GPU; the loop covers the rest
constexpr int kVector = 4;            // floats in a 16-byte access

__device__ void update_one(const AdamWBuffers<float>& b, const AdamWElement<float>& element, int64_t i) {
  const auto root = [](float x) { return sqrtf(x); };
  element.update(b.values[i], b.gradients[i], b.exp_avg[i], b.exp_avg_sq[i], element.keep_of(i), root);
  if (b.ema != nullptr) b.ema[i] = element.average(b.ema[i], b.values[i]);
  if (b.rounded != nullptr) b.rounded[i] = to_bfloat16(b.values[i]);
}

__device__ void average_four(float* ema, const AdamWElement<float>& element, const float4& value, int64_t i) {
  float4 average = reinterpret_cast<float4*>(ema)[i];
  average.x = element.average(average.x, value.x);
  average.y = element.average(average.y, value.y);
  average.z = element.average(average.z, value.z);
  average.w = element.average(average.w, value.w);
  reinterpret_cast<float4*>(ema)[i] = average;
}

__device__ unsigned pair_of(float low, float high) {
  return unsigned(to_bfloat16(low).bits) | unsigned(to_bfloat16(high).bits) << 16;
}
__device__ void round_four(Bfloat16Bits* rounded, const float4& value, int64_t i) {
  reinterpret_cast<uint2*>(rounded)[i] = make_uint2(pair_of(value.x, value.y), pair_of(value.z, value.w));
}

__device__ void update_four(const AdamWBuffers<float>& b, const AdamWElement<float>& element, int64_t i) {
  const auto root = [](float x) { return sqrtf(x); };
  float4 value = reinterpret_cast<float4*>(b.values)[i];
  const float4 gradient = reinterpret_cast<const float4*>(b.gradients)[i];
  float4 exp_avg = reinterpret_cast<float4*>(b.exp_avg)[i];
  float4 exp_avg_sq = reinterpret_cast<float4*>(b.exp_avg_sq)[i];
  element.update(value.x, gradient.x, exp_avg.x, exp_avg_sq.x, element.keep_of(kVector * i + 0), root);
  element.update(value.y, gradient.y, exp_avg.y, exp_avg_sq.y, element.keep_of(kVector * i + 1), root);
  element.update(value.z, gradient.z, exp_avg.z, exp_avg_sq.z, element.keep_of(kVector * i + 2), root);
  element.update(value.w, gradient.w, exp_avg.w, exp_avg_sq.w, element.keep_of(kVector * i + 3), root);
  reinterpret_cast<float4*>(b.values)[i] = value;
  reinterpret_cast<float4*>(b.exp_avg)[i] = exp_avg;
  reinterpret_cast<float4*>(b.exp_avg_sq)[i] = exp_avg_sq;
  if (b.ema != nullptr) average_four(b.ema, element, value, i);
  if (b.rounded != nullptr) round_four(b.rounded, value, i);
}

// First num_vectors groups of four, then the remaining elements one by one.
__global__ void adamw_kernel(AdamWBuffers<float> buffers, const AdamWElement<float>* numbers, DeviceNorm norm,
                             int64_t num_vectors, int64_t count) {
  if (count == 0) return;
  AdamWElement<float> element = *numbers;
  element.gradient_scale = norm.factor(element.gradient_scale);
  const int64_t first = int64_t(blockIdx.x) * blockDim.x + threadIdx.x,
                stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = first; i < num_vectors; i += stride) update_four(buffers, element, i);
  for (int64_t i = num_vectors * kVector + first; i < count; i += stride) update_one(buffers, element, i);
}

__global__ void average_kernel(float* ema, Bfloat16Bits* rounded, const float* values,
                               AdamWElement<float> element, int64_t num_vectors, int64_t count) {
  const int64_t first = int64_t(blockIdx.x) * blockDim.x + threadIdx.x,
                stride = int64_t(gridDim.x) * blockDim.x;
  for (int64_t i = first; i < num_vectors; i += stride) {
    const float4 value = reinterpret_cast<const float4*>(values)[i];
    if (ema != nullptr) average_four(ema, element, value, i);
    if (rounded != nullptr) round_four(rounded, value, i);
  }
  for (int64_t i = num_vectors * kVector + first; i < count; i += stride) {
    if (ema != nullptr) ema[i] = element.average(ema[i], values[i]);
    if (rounded != nullptr) rounded[i] = to_bfloat16(values[i]);
  }
}

bool is_aligned(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % sizeof(float4) == 0;
}

unsigned blocks_for(int64_t num_vectors, int64_t count) {
  const int64_t threads = std::max(num_vectors, count - num_vectors * kVector);
  return unsigned(std::clamp((threads + kThreads - 1) / kThreads, int64_t{1}, kMaxBlocks));
}

}  // namespace

const char* adamw_cuda(const AdamWBuffers<float>& buffers, const AdamWElement<float>* element,
                       const DeviceNorm& norm, int64_t count, void* stream) {
  const bool aligned = is_aligned(buffers.values) && is_aligned(buffers.gradients) &&
                       is_aligned(buffers.exp_avg) && is_aligned(buffers.exp_avg_sq) &&
                       is_aligned(buffers.ema) && is_aligned(buffers.rounded);
  const int64_t num_vectors = aligned ? count / kVector : 0;
  adamw_kernel<<<blocks_for(num_vectors, count), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      buffers, element, norm, num_vectors, count);
  return error_of_launch();
}

const char* average_cuda(float* ema, Bfloat16Bits* rounded, const float* values, double decay, int64_t count,
                         void* stream) {
  AdamWCoefficients coefficients{};
  coefficients.ema_decay = decay;
  const bool aligned = is_aligned(ema) && is_aligned(rounded) && is_aligned(values);
  const int64_t num_vectors = aligned ? count / kVector : 0;
  average_kernel<<<blocks_for(num_vectors, count), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(
      ema, rounded, values, AdamWElement<float>(coefficients), num_vectors, count);
  return error_of_launch();
}

}  // namespace pixart::optim::kernels
