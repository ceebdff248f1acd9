// The only copy of the formula, for one element. C++17, no LibTorch, because nvcc compiles this, too.
#pragma once
#include "adamw.h"

#ifdef __CUDACC__
#define PIXART_HOST_DEVICE __host__ __device__
#else
#define PIXART_HOST_DEVICE
#endif

namespace pixart::optim::kernels {

// AdamWCoefficients in the buffers' precision.
template <class T>
struct AdamWElement {
  int64_t num_decayed;
  T gradient_scale, keep, beta1, rest1, beta2, rest2, step_size, inverse_root, eps, ema_decay, ema_rest;
  T filler = 0;  // leaves no padding: the fake GPU looks for addresses in all bytes of an argument

  explicit AdamWElement(const AdamWCoefficients& c)
      : num_decayed(c.num_decayed),
        gradient_scale(T(c.gradient_scale)),
        keep(T(c.keep)),
        beta1(T(c.beta1)),
        rest1(T(1 - c.beta1)),
        beta2(T(c.beta2)),
        rest2(T(1 - c.beta2)),
        step_size(T(c.step_size)),
        inverse_root(T(c.inverse_root)),
        eps(T(c.eps)),
        ema_decay(T(c.ema_decay)),
        ema_rest(T(1 - c.ema_decay)) {}

  // The factor that weight decay applies to element i.
  PIXART_HOST_DEVICE T keep_of(int64_t i) const { return i < num_decayed ? keep : T(1); }

  // `root` is the square root function: std::sqrt on the host, CUDA's on the device.
  template <class Root>
  PIXART_HOST_DEVICE void update(T& value, T gradient, T& exp_avg, T& exp_avg_sq, T kept, Root root) const {
    const T scaled = gradient * gradient_scale;
    exp_avg = beta1 * exp_avg + rest1 * scaled;
    exp_avg_sq = beta2 * exp_avg_sq + rest2 * (scaled * scaled);
    value = value * kept - step_size * exp_avg / (root(exp_avg_sq) * inverse_root + eps);
  }

  PIXART_HOST_DEVICE T average(T ema, T value) const { return ema_decay * ema + ema_rest * value; }
};

}  // namespace pixart::optim::kernels
