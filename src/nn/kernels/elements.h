// The arithmetic between matrix products, for one number: the only copy, for the loops of the CPU and the
// kernels of GPUs. C++17, no LibTorch, because nvcc compiles this, too.
#pragma once

#ifdef __CUDACC__
#define PIXART_ELEMENT __host__ __device__ __forceinline__
#else
#include "pixart/base/cpu_clones.h"
#define PIXART_ELEMENT PIXART_INLINE
#endif

namespace pixart::nn::kernels {

constexpr float kTwoRoots = 1.5957691216057308F, kCubic = 0.044715F;  // 2 sqrt(2 / pi)

// The logistic function of a number, 1 / (1 + e^-x), and the rest to 1.
struct Share {
  float part, rest;
};

// GELU, the tanh form: (1 + tanh(u)) / 2 is the logistic function of 2 u. `logistic` is the processor's own.
template <class Logistic>
PIXART_ELEMENT float gelu(float x, Logistic logistic) {
  return x * logistic(kTwoRoots * (x + kCubic * x * x * x)).part;
}

template <class Logistic>
PIXART_ELEMENT float gelu_slope(float x, Logistic logistic) {
  const Share s = logistic(kTwoRoots * (x + kCubic * x * x * x));
  return s.part + x * s.part * s.rest * kTwoRoots * (1 + 3 * kCubic * x * x);
}

PIXART_ELEMENT float added(float x, float gate, float branch) { return x + gate * branch; }

PIXART_ELEMENT float normal_of(float x, float mean, float rstd) { return (x - mean) * rstd; }

PIXART_ELEMENT float modulated(float normal, float shift, float scale) {
  return normal * (1 + scale) + shift;
}

// The gradient of a number from that of its modulated normal; `mean_gradient` and `mean_product` are the means
// of slope = gradient * (1 + scale), and of slope * normal, over the row.
PIXART_ELEMENT float norm_slope(float slope, float normal, float rstd, float mean_gradient,
                                float mean_product) {
  return rstd * (slope - mean_gradient - normal * mean_product);
}

}  // namespace pixart::nn::kernels
