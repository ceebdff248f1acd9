#include "pixart/formats/crc32c.h"

#include <array>
#include <bit>
#include <cstring>

#include "crc32c_ways.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

namespace pixart::formats {

namespace {

static_assert(std::endian::native == std::endian::little);

// The register holds a polynomial of degree 31 over two elements, its highest power in the lowest bit.
constexpr uint32_t times_x(uint32_t value) {
  constexpr uint32_t kReversedPolynomial = 0x82F63B78;
  return value >> 1 ^ ((value & 1) != 0 ? kReversedPolynomial : 0);
}

// kTables[k][b]: the contribution of byte b when k bytes follow it.
constexpr std::array<std::array<uint32_t, 256>, 8> make_tables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = times_x(value);
    tables[0][byte] = value;
  }
  for (size_t k = 1; k < 8; ++k)
    for (size_t byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = before >> 8 ^ tables[0][before & 0xFF];
    }
  return tables;
}

constexpr auto kTables = make_tables();

uint64_t word_at(const uint8_t* bytes) {
  uint64_t word = 0;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

uint32_t by_tables(uint32_t crc, const uint8_t* bytes, size_t count) {
  for (; count >= 8; bytes += 8, count -= 8) {
    const uint64_t word = word_at(bytes) ^ crc;
    crc = 0;
    for (size_t k = 0; k < 8; ++k) crc ^= kTables[7 - k][word >> 8 * k & 0xFF];
  }
  for (; count > 0; ++bytes, --count) crc = kTables[0][(crc ^ *bytes) & 0xFF] ^ crc >> 8;
  return crc;
}

#if defined(__x86_64__)

// x^power modulo the polynomial.
constexpr uint32_t power_of_x(size_t power) {
  uint32_t value = 0x80000000;
  for (size_t i = 0; i < power; ++i) value = times_x(value);
  return value;
}

// The register after kBytes more zeros. A product of two registers, computed as for eight bytes of a message,
// has an extra factor x, and the instruction multiplies by x^32.
template <size_t kBytes>
__attribute__((target("sse4.2,pclmul"))) inline uint32_t after_zeros(uint32_t crc) {
  constexpr uint32_t kFactor = power_of_x(8 * kBytes - 33);
  const __m128i product =
      _mm_clmulepi64_si128(_mm_cvtsi32_si128(int(crc)), _mm_cvtsi32_si128(int(kFactor)), 0);
  return uint32_t(_mm_crc32_u64(0, uint64_t(_mm_cvtsi128_si64(product))));
}

__attribute__((target("sse4.2"))) uint32_t by_words(uint32_t crc, const uint8_t* bytes, size_t count) {
  uint64_t value = crc;
  for (; count >= 8; bytes += 8, count -= 8) value = _mm_crc32_u64(value, word_at(bytes));
  crc = uint32_t(value);
  for (; count > 0; ++bytes, --count) crc = _mm_crc32_u8(crc, *bytes);
  return crc;
}

// The instruction takes three cycles and one can start per cycle, so three parts of a block run together.
__attribute__((target("sse4.2,pclmul"))) uint32_t by_three_parts(uint32_t crc, const uint8_t* bytes,
                                                                 size_t count) {
  constexpr size_t kPart = 1024;
  for (; count >= 3 * kPart; bytes += 3 * kPart, count -= 3 * kPart) {
    uint64_t first = crc, second = 0, third = 0;
    for (size_t at = 0; at < kPart; at += 8) {
      first = _mm_crc32_u64(first, word_at(bytes + at));
      second = _mm_crc32_u64(second, word_at(bytes + kPart + at));
      third = _mm_crc32_u64(third, word_at(bytes + 2 * kPart + at));
    }
    crc = after_zeros<kPart>(uint32_t(first)) ^ uint32_t(second);
    crc = after_zeros<kPart>(crc) ^ uint32_t(third);
  }
  return by_words(crc, bytes, count);
}

// Moves 16 bytes (each half of `value`) forward by 128 bytes and adds the bytes there.
__attribute__((target("avx2,vpclmulqdq,pclmul"))) inline __m256i fold(__m256i value, const uint8_t* next) {
  constexpr size_t kBits = 8 * 128;
  const __m256i factors = _mm256_set_epi64x(power_of_x(kBits - 33), power_of_x(kBits + 31),
                                            power_of_x(kBits - 33), power_of_x(kBits + 31));
  const __m256i there = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(next));
  const __m256i moved = _mm256_xor_si256(_mm256_clmulepi64_epi128(value, factors, 0x00),
                                         _mm256_clmulepi64_epi128(value, factors, 0x11));
  return _mm256_xor_si256(moved, there);
}

// The instruction computes three parts of a block. Other units of the processor compute the last part at the
// same time by products: they fold its bytes into 128 bytes with the same checksum.
__attribute__((target("avx2,vpclmulqdq,pclmul,sse4.2"))) uint32_t by_products_too(uint32_t crc,
                                                                                  const uint8_t* bytes,
                                                                                  size_t count) {
  constexpr size_t kTurns = 32, kWords = 5, kPart = kTurns * kWords * 8, kFolded = (kTurns + 1) * 128,
                   kBlock = 3 * kPart + kFolded;
  alignas(32) uint8_t folded[128];
  for (; count >= kBlock; bytes += kBlock, count -= kBlock) {
    uint64_t first = crc, second = 0, third = 0;
    const uint8_t *at = bytes, *products = bytes + 3 * kPart;
    __m256i value[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i)
      value[i] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(products + 32 * i));
    for (size_t turn = 0; turn < kTurns; ++turn, at += 8 * kWords) {
      products += 128;
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) value[i] = fold(value[i], products + 32 * i);
#pragma GCC unroll 5
      for (size_t word = 0; word < kWords; ++word) {
        first = _mm_crc32_u64(first, word_at(at + 8 * word));
        second = _mm_crc32_u64(second, word_at(at + kPart + 8 * word));
        third = _mm_crc32_u64(third, word_at(at + 2 * kPart + 8 * word));
      }
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) _mm256_store_si256(reinterpret_cast<__m256i*>(folded + 32 * i), value[i]);
    crc = after_zeros<kPart>(uint32_t(first)) ^ uint32_t(second);
    crc = after_zeros<kPart>(crc) ^ uint32_t(third);
    crc = after_zeros<kFolded>(crc) ^ by_words(0, folded, sizeof folded);
  }
  return by_three_parts(crc, bytes, count);
}

// Moves 16 bytes (each quarter of `value`) forward by 256 bytes and adds what is there.
__attribute__((target("avx512f,vpclmulqdq,pclmul"))) inline __m512i fold(__m512i value, const uint8_t* next) {
  constexpr size_t kBits = 8 * 256;
  const __m512i factors = _mm512_set4_epi64(power_of_x(kBits - 33), power_of_x(kBits + 31),
                                            power_of_x(kBits - 33), power_of_x(kBits + 31));
  constexpr int kXorOfThree = 0x96;
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(value, factors, 0x00),
                                   _mm512_clmulepi64_epi128(value, factors, 0x11), _mm512_loadu_si512(next),
                                   kXorOfThree);
}

// All bytes are folded into 256 that have the same checksum.
__attribute__((target("avx512f,vpclmulqdq,pclmul,sse4.2"))) uint32_t by_wide_products(uint32_t crc,
                                                                                      const uint8_t* bytes,
                                                                                      size_t count) {
  constexpr size_t kFolded = 256;
  if (count < 2 * kFolded) return by_words(crc, bytes, count);
  __m512i value[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) value[i] = _mm512_loadu_si512(bytes + 64 * i);
  value[0] = _mm512_xor_si512(value[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128(int(crc))));
  for (bytes += kFolded, count -= kFolded; count >= kFolded; bytes += kFolded, count -= kFolded)
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) value[i] = fold(value[i], bytes + 64 * i);
  alignas(64) uint8_t folded[kFolded];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) _mm512_store_si512(folded + 64 * i, value[i]);
  return by_words(by_words(0, folded, kFolded), bytes, count);
}

#elif defined(__ARM_FEATURE_CRC32)

uint32_t by_words(uint32_t crc, const uint8_t* bytes, size_t count) {
  for (; count >= 8; bytes += 8, count -= 8) crc = __crc32cd(crc, word_at(bytes));
  for (; count > 0; ++bytes, --count) crc = __crc32cb(crc, *bytes);
  return crc;
}

#endif

}  // namespace

std::vector<Crc32cWay> crc32c_ways() {
  std::vector<Crc32cWay> ways = {by_tables};
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("pclmul")) return ways;
  ways.push_back(by_three_parts);
  if (!__builtin_cpu_supports("vpclmulqdq")) return ways;
  if (__builtin_cpu_supports("avx2")) ways.push_back(by_products_too);
  if (__builtin_cpu_supports("avx512f")) ways.push_back(by_wide_products);
#elif defined(__ARM_FEATURE_CRC32)
  ways.push_back(by_words);
#endif
  return ways;
}

uint32_t crc32c(std::string_view bytes, uint32_t before) {
  static const Crc32cWay best = crc32c_ways().back();
  return ~best(~before, reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace pixart::formats
