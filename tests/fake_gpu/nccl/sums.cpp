#include "sums.h"

#include <cstdint>
#include <cstring>
#include <map>

namespace fake_gpu {

namespace {

template <class T>
void add(char* sum, const char* values, size_t bytes) {
  for (size_t i = 0; i < bytes; i += sizeof(T)) {
    T a, b;
    std::memcpy(&a, sum + i, sizeof a);
    std::memcpy(&b, values + i, sizeof b);
    a = T(a + b);
    std::memcpy(sum + i, &a, sizeof a);
  }
}

float widen(uint16_t bits) {
  const uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, sizeof value);
  return value;
}

// Rounds to the nearest, ties to even.
struct Bfloat16 {
  uint16_t bits;
  Bfloat16() = default;
  explicit Bfloat16(float value) {
    uint32_t wide;
    std::memcpy(&wide, &value, sizeof wide);
    bits = uint16_t((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
  }
  friend float operator+(Bfloat16 a, Bfloat16 b) { return widen(a.bits) + widen(b.bits); }
};

}  // namespace

size_t size_of(int type) {
  static const std::map<int, size_t> kSizes = {
      {kInt8, 1}, {kInt64, 8}, {kFloat32, 4}, {kFloat64, 8}, {kBfloat16, 2}};
  const auto found = kSizes.find(type);
  return found == kSizes.end() ? 0 : found->second;
}

void add(int type, char* sums, const char* values, size_t bytes) {
  if (type == kInt8) add<int8_t>(sums, values, bytes);
  if (type == kInt64) add<int64_t>(sums, values, bytes);
  if (type == kFloat32) add<float>(sums, values, bytes);
  if (type == kFloat64) add<double>(sums, values, bytes);
  if (type == kBfloat16) add<Bfloat16>(sums, values, bytes);
}

}  // namespace fake_gpu
