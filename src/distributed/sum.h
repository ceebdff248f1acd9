// Sums of several buffers, in the order in which they are given.
#pragma once
#include <cstdint>
#include <span>

namespace pixart::distributed {

enum class Number { kFloat32, kFloat64, kInt64 };
size_t bytes_of(Number number);

// output[i] = ((parts[0][i] + parts[1][i]) + parts[2][i]) + ...; output may be one of the parts.
void sum_in_order(Number number, std::span<const void* const> parts, int64_t count, void* output);

}  // namespace pixart::distributed
