// Numbers of feature shards as training takes them, many at a time.
#pragma once
#include <cstdint>

namespace pixart::data {

// float16, as bits, to float32: exact.
void halves_to_floats(const uint16_t* in, int64_t count, float* out);

// float8_e4m3fn, as bits, times `scale` in float32, rounded to bfloat16, as bits; a NaN becomes 0x7FC0.
void scaled_float8_to_bfloat16(const uint8_t* in, int64_t count, float scale, uint16_t* out);

// Zeros that are read much later, if ever: written past the caches where the processor can.
void write_zeros(void* out, uint64_t bytes);

}  // namespace pixart::data
