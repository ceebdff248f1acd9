#include "feature_values.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Float8_e4m3fn.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace pixart::data {

namespace {

float value_of_half(uint16_t bits) { return float(c10::Half(bits, c10::Half::from_bits())); }

// A table with the bfloat16 of each byte times `scale`: a token has many more channels than a byte has
// values.
void by_table(const uint8_t* in, int64_t count, float scale, uint16_t* out) {
  std::array<uint16_t, 256> of_byte{};
  for (size_t i = 0; i < 256; ++i) {
    const float value = float(c10::Float8_e4m3fn(uint8_t(i), c10::Float8_e4m3fn::from_bits()));
    of_byte[i] = c10::BFloat16(value * scale).x;
  }
  for (int64_t i = 0; i < count; ++i) out[i] = of_byte[in[i]];
}

#if defined(__x86_64__)

__attribute__((target("avx2,f16c"))) int64_t many_halves(const uint16_t* in, int64_t count, float* out) {
  int64_t i = 0;
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i))));
  return i;
}

// Rounds to the nearest bfloat16, ties to even; the bits are in 32-bit lanes.
__attribute__((target("avx2,f16c"))) inline __m256i rounded(__m256 values) {
  const __m256i bits = _mm256_castps_si256(values);
  const __m256i is_odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  return _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), is_odd), 16);
}

// float8_e4m3fn shifted by seven bits is a float16 of 2^-8 times its value, subnormal or not; 2^8 times the
// scale is one exact factor. `scale` is finite, so that only the byte 0x7F, of either sign, is a NaN.
__attribute__((target("avx2,f16c"))) int64_t many_float8(const uint8_t* in, int64_t count, float scale,
                                                         uint16_t* out) {
  const __m256 factor = _mm256_set1_ps(scale * 256);
  const __m256i magnitude = _mm256_set1_epi16(0x3F80), sign = _mm256_set1_epi16(int16_t(0x8000)),
                nan = _mm256_set1_epi16(0x7FC0);
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) {
    const __m256i bytes = _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(in + i)));
    const __m256i size = _mm256_and_si256(_mm256_slli_epi16(bytes, 7), magnitude);
    const __m256i halves = _mm256_or_si256(size, _mm256_and_si256(_mm256_slli_epi16(bytes, 8), sign));
    const __m256 low = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(halves)), factor),
                 high = _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(halves, 1)), factor);
    // Packing works within each half of a register, so the middle quarters are swapped.
    const __m256i packed =
        _mm256_permute4x64_epi64(_mm256_packus_epi32(rounded(low), rounded(high)), 0b11011000);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + i),
                        _mm256_blendv_epi8(packed, nan, _mm256_cmpeq_epi16(size, magnitude)));
  }
  return i;
}

bool has_many() {
  static const bool has = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
  return has;
}

#endif

}  // namespace

void halves_to_floats(const uint16_t* in, int64_t count, float* out) {
  int64_t i = 0;
#if defined(__x86_64__)
  if (has_many()) i = many_halves(in, count, out);
#endif
  for (; i < count; ++i) out[i] = value_of_half(in[i]);
}

void scaled_float8_to_bfloat16(const uint8_t* in, int64_t count, float scale, uint16_t* out) {
  int64_t i = 0;
#if defined(__x86_64__)
  if (has_many() && std::isfinite(scale)) i = many_float8(in, count, scale, out);
#endif
  if (i < count) by_table(in + i, count - i, scale, out + i);
}

}  // namespace pixart::data
