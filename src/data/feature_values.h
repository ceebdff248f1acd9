// Converts arrays of values from feature shards to the types of training.
#pragma once
#include <cstdint>

namespace pixart::data {

// Converts float16 (bits) to float32, exactly.
void halves_to_floats(const uint16_t* in, int64_t count, float* out);

// Computes float8_e4m3fn (bits) times `scale` in float32, rounded to bfloat16 (bits); a NaN becomes 0x7FC0.
void scaled_float8_to_bfloat16(const uint8_t* in, int64_t count, float scale, uint16_t* out);

}  // namespace pixart::data
