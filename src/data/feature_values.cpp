#include "feature_values.h"

#include <bit>

#include "pixart/base/cpu_clones.h"

namespace pixart::data {

// Written so that the compiler computes several at once: both branches, then a choice. A subnormal number is
// made of its integer, since processors take long over subnormal operands.

PIXART_CPU_CLONES void halves_to_floats(const uint16_t* in, int64_t count, float* out) {
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t magnitude = in[i] & 0x7FFFu, sign = uint32_t(in[i] & 0x8000u) << 16;
    const uint32_t larger = magnitude >= 0x7C00u ? 224u << 23 : 112u << 23;  // infinity, NaN
    const uint32_t normal = (magnitude << 13) + larger;
    const uint32_t subnormal = std::bit_cast<uint32_t>(float(int32_t(magnitude)) * 0x1p-24F);
    out[i] = std::bit_cast<float>((magnitude < 0x400u ? subnormal : normal) | sign);
  }
}

PIXART_CPU_CLONES void scaled_float8_to_bfloat16(const uint8_t* in, int64_t count, float scale,
                                                 uint16_t* out) {
  constexpr uint32_t kNan = 0x7FC0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t magnitude = in[i] & 0x7Fu, sign = uint32_t(in[i] & 0x80u) << 24;
    const uint32_t normal = (magnitude << 20) + (120u << 23);
    const uint32_t subnormal = std::bit_cast<uint32_t>(float(int32_t(magnitude)) * 0x1p-9F);
    const float value = std::bit_cast<float>((magnitude < 8 ? subnormal : normal) | sign) * scale;
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t rounded = (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    const bool is_nan = magnitude == 0x7Fu || (bits & 0x7FFFFFFFu) > 0x7F800000u;
    out[i] = uint16_t(is_nan ? kNan : rounded);
  }
}

}  // namespace pixart::data
