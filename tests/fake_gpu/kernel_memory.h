// Memory of kernels in tests, as LibTorch gives it, and comparisons with double precision.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "fused_cuda.h"
#include "fused_oracle.h"

namespace pixart::nn::kernels {

using fused_oracle::Doubles;

inline double number(float x) { return x; }
inline double number(Bfloat16 x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline void store(float& to, float value) { to = value; }
inline void store(Bfloat16& to, float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  to.bits = uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Memory as LibTorch gives it: a multiple of 16.
template <class T>
struct Memory {
  std::vector<T> storage;
  size_t from;
  explicit Memory(size_t count) : storage(count + 16 / sizeof(T)) {
    from = (16 - reinterpret_cast<uintptr_t>(storage.data()) % 16) % 16 / sizeof(T);
    std::memset(static_cast<void*>(storage.data()), 255, storage.size() * sizeof(T));  // NaN
  }
  T* data() { return storage.data() + from; }
  Doubles doubles(size_t first, size_t count) {
    Doubles result;
    for (size_t i = 0; i < count; ++i) result.push_back(number(data()[first + i]));
    return result;
  }
  Doubles doubles() { return doubles(0, storage.size() - 16 / sizeof(T)); }
};

template <class T>
Memory<T> normal(size_t count, unsigned seed, float factor = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> distribution;
  Memory<T> memory(count);
  for (size_t i = 0; i < count; ++i) store(memory.data()[i], factor * distribution(random));
  return memory;
}

// float32: 1e-6 of the largest number, for a sum rounds by that; bfloat16: two roundings of 2^-8 each.
template <class T>
void expect_equal(const char* what, const Doubles& found, const Doubles& expected) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  double largest = 1e-3;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  for (size_t i = 0; i < found.size(); ++i) {
    const double rounding = sizeof(T) == 2 ? std::abs(expected[i]) / 128 : 0;
    ASSERT_NEAR(found[i], expected[i], rounding + 1e-6 * largest) << what << " " << i;
  }
}

}  // namespace pixart::nn::kernels
