#include "sum.h"

#include <algorithm>
#include <cstring>

namespace pixart::distributed {

namespace {

constexpr int64_t kBlock = 2048;  // elements; a block and its parts stay in the first-level cache

template <class T>
void sum_parts(std::span<const void* const> parts, int64_t count, void* output) {
  T sum[kBlock];
  for (int64_t start = 0; start < count; start += kBlock) {
    const int64_t n = std::min(kBlock, count - start);
    std::memcpy(sum, static_cast<const T*>(parts[0]) + start, size_t(n) * sizeof(T));
    for (const void* part : parts.subspan(1)) {
      const T* values = static_cast<const T*>(part) + start;
      for (int64_t i = 0; i < n; ++i) sum[i] += values[i];
    }
    std::memcpy(static_cast<T*>(output) + start, sum, size_t(n) * sizeof(T));
  }
}

}  // namespace

size_t bytes_of(Number number) { return number == Number::kFloat32 ? 4 : 8; }

void sum_in_order(Number number, std::span<const void* const> parts, int64_t count, void* output) {
  switch (number) {
    case Number::kFloat32:
      return sum_parts<float>(parts, count, output);
    case Number::kFloat64:
      return sum_parts<double>(parts, count, output);
    case Number::kInt64:
      return sum_parts<uint64_t>(parts, count, output);  // wraps instead of undefined overflow
  }
}

}  // namespace pixart::distributed
