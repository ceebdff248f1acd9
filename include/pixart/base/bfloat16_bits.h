// bfloat16 as 16 bits, on hosts and GPUs. C++17, no LibTorch, because nvcc compiles this, too.
#pragma once
#include <cstdint>
#include <cstring>

#include "pixart/base/philox.h"  // PIXART_HOST_DEVICE

namespace pixart {

struct Bfloat16Bits {
  uint16_t bits;
};

PIXART_HOST_DEVICE inline float to_float(Bfloat16Bits value) {
  const uint32_t wide = uint32_t(value.bits) << 16;
  float result;
  memcpy(&result, &wide, sizeof result);
  return result;
}
PIXART_HOST_DEVICE inline float to_float(float value) { return value; }

// To the nearest, ties to even; a NaN stays one. The same bits as LibTorch's.
PIXART_HOST_DEVICE inline Bfloat16Bits to_bfloat16(float value) {
  uint32_t wide;
  memcpy(&wide, &value, sizeof wide);
  if (value != value) return {0x7fc0};
  return {uint16_t((wide + 0x7fffu + ((wide >> 16) & 1u)) >> 16)};
}

// Writes `value` in the type of `target`.
PIXART_HOST_DEVICE inline void store(float& target, float value) { target = value; }
PIXART_HOST_DEVICE inline void store(Bfloat16Bits& target, float value) { target = to_bfloat16(value); }

}  // namespace pixart
