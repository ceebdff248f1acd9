// The clip factor, on hosts and GPUs. C++17, no LibTorch, because nvcc compiles this, too.
#pragma once
#include <cmath>

#include "pixart/base/bfloat16_bits.h"  // PIXART_HOST_DEVICE

namespace pixart::optim::kernels {

PIXART_HOST_DEVICE inline double clip_factor_of(double norm, double max_norm) {
  constexpr double kMargin = 1e-6;  // added to the norm, as in torch.nn.utils.clip_grad_norm_
  const double factor = max_norm / (norm + kMargin);
  return factor < 1.0 ? factor : 1.0;
}

// The square of the norm, where it is on the device; null: the host knows the clip factor.
struct DeviceNorm {
  const double* squared = nullptr;
  double most = 0;
  PIXART_HOST_DEVICE float factor(float of_host) const {
    return squared == nullptr ? of_host : float(clip_factor_of(sqrt(*squared), most));
  }
};

}  // namespace pixart::optim::kernels
