#include "pixart/base/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "pixart/base/error.h"

namespace pixart {

namespace {

// SplitMix64's finaliser. It is a bijection, so different (seed, purpose) pairs give different keys except by
// chance.
uint64_t mix(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

constexpr double kTwoToMinus32 = 1.0 / 4294967296.0;

}  // namespace

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t(0xD2511F53u) * counter[0], b = uint64_t(0xCD9E8D57u) * counter[2];
    counter = {uint32_t(b >> 32) ^ counter[1] ^ key[0], uint32_t(b), uint32_t(a >> 32) ^ counter[3] ^ key[1],
               uint32_t(a)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

std::array<uint32_t, 4> philox(const RandomKey& key, uint64_t index) {
  const uint64_t mixed = mix(key.seed ^ mix(uint64_t(key.purpose)));
  return philox4x32(
      {uint32_t(index), uint32_t(index >> 32), uint32_t(key.stream), uint32_t(key.stream >> 32)},
      {uint32_t(mixed), uint32_t(mixed >> 32)});
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
