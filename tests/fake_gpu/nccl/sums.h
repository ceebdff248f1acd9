// The types of NCCL, and sums of them.
#pragma once
#include <cstddef>

namespace fake_gpu {

enum Type : int { kInt8 = 0, kInt64 = 4, kFloat32 = 7, kFloat64 = 8, kBfloat16 = 9 };

size_t size_of(int type);  // 0: not one of these
// Adds `bytes` of values to the sums, which need not be aligned.
void add(int type, char* sums, const char* values, size_t bytes);

}  // namespace fake_gpu
