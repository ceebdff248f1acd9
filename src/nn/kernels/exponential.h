// e^x of float32 for vectorised loops. Only for sources of kernels.
#pragma once
#include <algorithm>
#include <cstdint>

#include "pixart/base/cpu_clones.h"

namespace pixart::nn::kernels {

// e^x for |x| <= 80, within 2 units in the last place: 2^n times a polynomial of degree 7 in the remainder,
// which is within ln(2) / 2 of 0.
PIXART_INLINE float exponential(float x) {
  constexpr float kLog2E = 1.44269504F, kLn2High = 0.693359375F, kLn2Low = -2.12194440e-4F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to a whole number
  const float n = (x * kLog2E + kRound) - kRound;
  const float r = (x - n * kLn2High) - n * kLn2Low;
  float p = 1.0F / 5040;
  p = p * r + 1.0F / 720;
  p = p * r + 1.0F / 120;
  p = p * r + 1.0F / 24;
  p = p * r + 1.0F / 6;
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  return p * __builtin_bit_cast(float, (int32_t(n) + 127) << 23);
}

// x, with its magnitude limited to 60. It works on bits: for a comparison of floats GCC computes both
// branches, and the one that is not used has numbers so small that they take a hundred times longer. NaN
// becomes 60, too.
PIXART_INLINE float limited(float x) {
  constexpr int32_t kSign = INT32_MIN, kSixty = 0x42700000;
  const auto bits = __builtin_bit_cast(int32_t, x);
  return __builtin_bit_cast(float, (bits & kSign) | std::min(bits & ~kSign, kSixty));
}

}  // namespace pixart::nn::kernels
