// Loops over flat buffers. C++17, plain pointers, no LibTorch, because nvcc compiles this, too.
#pragma once
#include <cstdint>

#include "clip.h"
#include "pixart/base/bfloat16_bits.h"

namespace pixart::optim::kernels {

// The factors and terms of one step, the same for all elements.
struct AdamWCoefficients {
  double gradient_scale;  // clip factor
  double keep;            // 1 - lr * weight_decay, for the elements with decay
  int64_t num_decayed;    // number of elements with decay; they come first
  double beta1, beta2;
  double step_size;     // lr / (1 - beta1^n)
  double inverse_root;  // 1 / sqrt(1 - beta2^n)
  double eps;
  double ema_decay;  // used only with an ema
};

// Buffers of one length; ema and rounded are null if no EMA and no bfloat16 copy of the values are kept.
template <class T>
struct AdamWBuffers {
  T* values;
  const T* gradients;
  T* exp_avg;
  T* exp_avg_sq;
  T* ema;
  Bfloat16Bits* rounded = nullptr;
};

// Updates elements begin .. end - 1 in the calling thread; each element depends only on its own inputs.
template <class T>
void adamw_cpu(const AdamWBuffers<T>& buffers, const AdamWCoefficients& coefficients, int64_t begin,
               int64_t end);
template <class T>
void ema_cpu(T* ema, const T* values, double decay, int64_t begin, int64_t end);
void round_cpu(Bfloat16Bits* rounded, const float* values, int64_t begin, int64_t end);

// Sum of squares of elements begin .. end - 1, in double, in an order that begin and end determine.
template <class T>
double sum_of_squares_cpu(const T* values, int64_t begin, int64_t end);

template <class T>
struct AdamWElement;
// Enqueues the update of `count` elements on the stream (a cudaStream_t) of the current device; without
// elements the kernel is launched and does nothing. `element` is in the device's memory; `norm` takes the place of its clip
// factor. Returns null, or CUDA's description of the error of the launch. Defined if PIXART_WITH_CUDA is.
const char* adamw_cuda(const AdamWBuffers<float>& buffers, const AdamWElement<float>* element,
                       const DeviceNorm& norm, int64_t count, void* stream);

// ema <- decay * ema + (1 - decay) * values, and the values rounded, in one pass; either may be null.
const char* average_cuda(float* ema, Bfloat16Bits* rounded, const float* values, double decay, int64_t count,
                         void* stream);

}  // namespace pixart::optim::kernels
