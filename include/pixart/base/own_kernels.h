// Whether this process computes with the project's own kernels, on the CPU and on GPUs, where there are any
// (`kernels: fused`), or with LibTorch's operations alone (`kernels: plain`).
#pragma once
#include <atomic>

namespace pixart {

inline std::atomic<bool>& own_kernels_switch() {
  static std::atomic<bool> is_on{true};
  return is_on;
}

inline bool own_kernels() { return own_kernels_switch(); }
inline void use_own_kernels(bool wanted) { own_kernels_switch() = wanted; }

}  // namespace pixart
