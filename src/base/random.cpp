#include "pixart/base/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "pixart/base/error.h"
#include "pixart/base/philox.h"

namespace pixart {

namespace {

constexpr double kTwoToMinus32 = 1.0 / 4294967296.0;

std::array<uint32_t, 4> array_of(const PhiloxBlock& block) {
  return {block.words[0], block.words[1], block.words[2], block.words[3]};
}

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  return array_of(philox_rounds({{counter[0], counter[1], counter[2], counter[3]}}, key[0], key[1]));
}

std::array<uint32_t, 4> philox(const RandomKey& key, uint64_t index) {
  return array_of(philox_block(philox_key(key.seed, uint32_t(key.purpose)), key.stream, index));
}

double uniform(const RandomKey& key, uint64_t index) {
  const auto block = philox(key, index);
  const uint64_t bits = (uint64_t(block[0]) << 32 | block[1]) >> 11;
  return double(bits) * (1.0 / 9007199254740992.0);
}

uint64_t uniform_below(const RandomKey& key, uint64_t bound, uint64_t index) {
  PIXART_CHECK(bound > 0);
  const auto block = philox(key, index);
  const uint64_t bits = uint64_t(block[0]) << 32 | block[1];
  return uint64_t((static_cast<unsigned __int128>(bits) * bound) >> 64);  // bias below bound / 2^64
}

void fill_normal(const RandomKey& key, std::span<float> out) {
  for (size_t i = 0; i < out.size(); i += 4) {
    const auto block = philox(key, i / 4);
    float values[4];
    for (int pair = 0; pair < 2; ++pair) {
      const double u = (double(block[size_t(2 * pair)]) + 0.5) * kTwoToMinus32;  // in (0, 1)
      const double angle = 2.0 * std::numbers::pi * double(block[size_t(2 * pair + 1)]) * kTwoToMinus32;
      const double radius = std::sqrt(-2.0 * std::log(u));
      values[2 * pair] = float(radius * std::cos(angle));
      values[2 * pair + 1] = float(radius * std::sin(angle));
    }
    std::copy_n(values, std::min<size_t>(4, out.size() - i), out.data() + i);
  }
}

void fill_uniform(const RandomKey& key, std::span<float> out) {
  for (size_t i = 0; i < out.size(); i += 4) {
    const auto block = philox(key, i / 4);
    for (size_t j = 0; j < std::min<size_t>(4, out.size() - i); ++j)
      out[i + j] = float(block[j] >> 8) * (1.0f / 16777216.0f);
  }
}

std::vector<int64_t> permutation(const RandomKey& key, int64_t n) {
  PIXART_CHECK(n >= 0, "n = {}", n);
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), int64_t{0});
  for (int64_t i = n - 1; i > 0; --i)
    std::swap(order[size_t(i)], order[size_t(uniform_below(key, uint64_t(i) + 1, uint64_t(i)))]);
  return order;
}

}  // namespace pixart
