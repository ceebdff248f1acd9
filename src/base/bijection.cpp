#include "pixart/base/bijection.h"

#include <cmath>

#include "pixart/base/error.h"

namespace pixart {

namespace {

constexpr uint64_t kRounds = 10;
constexpr int64_t kFew = 64;

// The smallest number whose square is at least n.
uint64_t root_up(uint64_t n) {
  auto root = uint64_t(std::sqrt(double(n)));
  while (root * root < n) ++root;
  while (root > 1 && (root - 1) * (root - 1) >= n) --root;
  return root;
}

// A digit below 2^31 and the round fit into the index of a random number.
uint64_t drawn(const RandomKey& key, uint64_t below, uint64_t round, uint64_t digit) {
  return uniform_below(key, below, round << 56 | digit);
}

}  // namespace

int64_t shuffled(const RandomKey& key, int64_t n, int64_t index) {
  PIXART_CHECK(index >= 0 && index < n && n < int64_t{1} << 62, "element {} of {}", index, n);
  if (n < kFew) return permutation(key, n)[size_t(index)];
  const uint64_t size = uint64_t(n), lefts = root_up(size), rights = (size + lefts - 1) / lefts;
  uint64_t value = uint64_t(index);
  do {
    uint64_t left = value % lefts, right = value / lefts;
    for (uint64_t round = 0; round < kRounds; round += 2) {
      left = (left + drawn(key, lefts, round, right)) % lefts;
      right = (right + drawn(key, rights, round + 1, left)) % rights;
    }
    value = right * lefts + left;
  } while (value >= size);
  return int64_t(value);
}

}  // namespace pixart
