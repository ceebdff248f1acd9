// The generator of random.h for one index, on hosts and GPUs. C++17, no LibTorch, because nvcc compiles this, too.
#pragma once
#include <cstdint>

#ifdef __CUDACC__
#define PIXART_HOST_DEVICE __host__ __device__
#else
#define PIXART_HOST_DEVICE
#endif

namespace pixart {

struct PhiloxBlock {
  uint32_t words[4];
};

// SplitMix64's finaliser. It is a bijection, so different (seed, purpose) pairs give different keys except by
// chance.
PIXART_HOST_DEVICE inline uint64_t mixed_bits(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

// Philox' key for a seed and the number of a Purpose.
PIXART_HOST_DEVICE inline uint64_t philox_key(uint64_t seed, uint32_t purpose) {
  return mixed_bits(seed ^ mixed_bits(purpose));
}

PIXART_HOST_DEVICE inline PhiloxBlock philox_rounds(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t(0xD2511F53u) * counter.words[0], b = uint64_t(0xCD9E8D57u) * counter.words[2];
    counter = {{uint32_t(b >> 32) ^ counter.words[1] ^ key0, uint32_t(b),
                uint32_t(a >> 32) ^ counter.words[3] ^ key1, uint32_t(a)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// philox() of random.h for a key of philox_key().
PIXART_HOST_DEVICE inline PhiloxBlock philox_block(uint64_t key, uint64_t stream, uint64_t index) {
  return philox_rounds({{uint32_t(index), uint32_t(index >> 32), uint32_t(stream), uint32_t(stream >> 32)}},
                       uint32_t(key), uint32_t(key >> 32));
}

}  // namespace pixart
