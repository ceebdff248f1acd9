// What kernels over rows share: a warp has 256 columns of a row, which its lanes read and write 16 bytes at a
// time, and all bytes of a sector of memory at once, whatever the type. Only for .cu files.
#pragma once
#include <cuda_runtime.h>

#include "elements.h"
#include "fused_cuda.h"

#ifdef __CUDACC__
#define PIXART_PRAGMA(text) _Pragma(#text)
#define PIXART_UNROLL(...) PIXART_PRAGMA(unroll __VA_ARGS__)
#else
#define PIXART_UNROLL(...)
#endif

namespace pixart::nn::kernels {

constexpr int kLanes = 32;
constexpr int kPiece = 4;               // columns that lie together in a lane
constexpr int kHalf = kPiece * kLanes;  // from a lane's first piece to its second
constexpr int kSegment = 2 * kHalf;     // columns of a warp
constexpr int kMostWarps = (kMostNormWidth + kSegment - 1) / kSegment;
constexpr int kTileWarps = 8;   // of a block that needs no sums over a row
constexpr int kTileBlocks = 3;  // of these on a multiprocessor, so that a thread has up to 80 registers
constexpr int kPartRows = 32;   // of one part of a sum over rows
constexpr unsigned kAllLanes = 0xffffffff;

// The eight numbers of a lane: columns 4 l .. 4 l + 3 of each half of its segment.
struct Eight {
  float v[2 * kPiece];
};

// Where a lane reads and writes.
struct Place {
  int column;  // of the first piece
  bool has_first, has_second;
  int vector;  // first of the eight columns that the lane moves if a number has two bytes
  bool has_vector, odd;

  __device__ Place(int segment, int64_t width) {
    const int lane = int(threadIdx.x) % kLanes;
    column = segment * kSegment + kPiece * lane;
    has_first = column < width;
    has_second = column + kHalf < width;
    odd = lane % 2 != 0;
    vector = segment * kSegment + (odd ? kHalf : 0) + 2 * kPiece * (lane / 2);
    has_vector = vector < width;
  }
  __device__ bool has(int i) const { return i < kPiece ? has_first : has_second; }
};

__device__ inline float float_of(unsigned high_bits) {
  float value;
  memcpy(&value, &high_bits, sizeof value);
  return value;
}

__device__ inline unsigned bits_of(float value) {
  unsigned bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Rounded to the nearest, ties to even; NaN stays NaN.
__device__ inline unsigned rounded_bits(float value) {
  const unsigned bits = bits_of(value);
  return (bits & 0x7fffffff) > 0x7f800000 ? 0x7fc0 : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

__device__ inline unsigned two_rounded(float low, float high) {
#ifdef __CUDA_ARCH__
  unsigned both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
#else
  return rounded_bits(low) | rounded_bits(high) << 16;
#endif
}

__device__ inline float4 read_piece(const float* from, bool valid) {
  return valid ? __ldg(reinterpret_cast<const float4*>(from)) : make_float4(0, 0, 0, 0);
}

__device__ inline Eight read(const float* row, const Place& place, bool valid = true) {
  const float4 a = read_piece(row + place.column, valid && place.has_first);
  const float4 b = read_piece(row + place.column + kHalf, valid && place.has_second);
  return {{a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w}};
}

// Neighbours change halves of what they have read, so that each has its own columns.
__device__ inline unsigned long long exchanged(unsigned low, unsigned high) {
  return __shfl_xor_sync(kAllLanes, static_cast<unsigned long long>(high) << 32 | low, 1);
}

__device__ inline Eight read(const Bfloat16* row, const Place& place, bool valid = true) {
  uint4 words = make_uint4(0, 0, 0, 0);
  if (valid && place.has_vector) words = __ldg(reinterpret_cast<const uint4*>(row + place.vector));
  const unsigned long long other = exchanged(place.odd ? words.x : words.z, place.odd ? words.y : words.w);
  const unsigned low = unsigned(other), high = unsigned(other >> 32);
  const unsigned pairs[4] = {place.odd ? low : words.x, place.odd ? high : words.y, place.odd ? words.z : low,
                             place.odd ? words.w : high};
  Eight result;
  PIXART_UNROLL()
  for (int i = 0; i < 4; ++i) {
    result.v[2 * i] = float_of(pairs[i] << 16);
    result.v[2 * i + 1] = float_of(pairs[i] & 0xffff0000);
  }
  return result;
}

__device__ inline void write(float* row, const Place& place, const Eight& x, bool valid = true) {
  if (valid && place.has_first)
    __stwb(reinterpret_cast<float4*>(row + place.column), make_float4(x.v[0], x.v[1], x.v[2], x.v[3]));
  if (valid && place.has_second)
    __stwb(reinterpret_cast<float4*>(row + place.column + kHalf),
           make_float4(x.v[4], x.v[5], x.v[6], x.v[7]));
}

__device__ inline void write(Bfloat16* row, const Place& place, const Eight& x, bool valid = true) {
  const unsigned pairs[4] = {two_rounded(x.v[0], x.v[1]), two_rounded(x.v[2], x.v[3]),
                             two_rounded(x.v[4], x.v[5]), two_rounded(x.v[6], x.v[7])};
  const unsigned long long other =
      exchanged(place.odd ? pairs[0] : pairs[2], place.odd ? pairs[1] : pairs[3]);
  const unsigned low = unsigned(other), high = unsigned(other >> 32);
  const uint4 words =
      place.odd ? make_uint4(low, high, pairs[2], pairs[3]) : make_uint4(pairs[0], pairs[1], low, high);
  if (valid && place.has_vector) __stwb(reinterpret_cast<uint4*>(row + place.vector), words);
}

// The numbers as they are when they have been written.
__device__ inline void round_to(const float*, Eight&) {}
__device__ inline void round_to(const Bfloat16*, Eight& x) {
  PIXART_UNROLL()
  for (float& value : x.v) value = float_of(two_rounded(0, value) & 0xffff0000);
}

__device__ inline Eight read(const PerImage& modulation, int64_t image, const Place& place, float otherwise) {
  if (modulation.data == nullptr) {
    Eight all;
    PIXART_UNROLL()
    for (float& value : all.v) value = otherwise;
    return all;
  }
  return read(modulation.data + image * modulation.stride, place);
}

// Adds each value over the threads of a block; all get the sums. `turn` belongs to the thread and begins at 0.
template <int kCount>
__device__ inline void sum_over_block(float (&values)[kCount], int& turn) {
  PIXART_UNROLL()
  for (int lanes = kLanes / 2; lanes > 0; lanes /= 2) PIXART_UNROLL()
  for (int i = 0; i < kCount; ++i) values[i] += __shfl_xor_sync(kAllLanes, values[i], lanes);
  if (blockDim.x == kLanes) return;
  // Two, used in turn: who writes one has met all those at a barrier who have read it.
  __shared__ float parts[2][kMostWarps][kCount];
  if (threadIdx.x % kLanes == 0) PIXART_UNROLL()
  for (int i = 0; i < kCount; ++i) parts[turn][threadIdx.x / kLanes][i] = values[i];
  __syncthreads();
  PIXART_UNROLL()
  for (int i = 0; i < kCount; ++i) values[i] = 0;
  PIXART_UNROLL(1)
  for (unsigned warp = 0; warp < blockDim.x / kLanes; ++warp) PIXART_UNROLL()
  for (int i = 0; i < kCount; ++i) values[i] += parts[turn][warp][i];
  turn = 1 - turn;
}

// The rows of a block: a part of an image's.
struct Part {
  int64_t image, first, end;  // rows of the image
  int64_t at;                 // of the image's first row, in numbers

  __device__ Part(const ImageRows& rows, int part_rows) {
    const int64_t parts = (rows.tokens + part_rows - 1) / part_rows;
    image = parts > 0 ? blockIdx.x / parts : rows.images;
    first = parts > 0 ? blockIdx.x % parts * part_rows : 0;
    const int64_t last = first + part_rows < rows.tokens ? first + part_rows : rows.tokens;
    end = image < rows.images ? last : first;
    at = image * rows.tokens * rows.width;
  }
};

struct Blocks {
  dim3 grid;
  unsigned threads;
};

// One block for `part_rows` rows of an image, of all columns or of tiles of them.
inline Blocks blocks_for(const ImageRows& rows, int part_rows, int most_warps) {
  const int64_t parts = rows.images * ((rows.tokens + part_rows - 1) / part_rows);
  const int64_t segments = (rows.width + kSegment - 1) / kSegment;
  const int64_t tiles = (segments + most_warps - 1) / most_warps;
  const int64_t warps = tiles > 0 ? (segments + tiles - 1) / tiles : 1;
  return {dim3(unsigned(parts > 0 ? parts : 1), unsigned(tiles > 0 ? tiles : 1)), unsigned(warps * kLanes)};
}

// Rows of a block of a forward pass: few if there are few rows, so that all multiprocessors get some. Each block reads
// what modulates its rows, which is half of the bytes if they are two.
inline int forward_rows(const ImageRows& rows, int at_once) {
  constexpr int64_t kEnoughBlocks = 256;
  int result = kPartRows;
  while (result > at_once && rows.images * rows.tokens < kEnoughBlocks * result) result /= 2;
  return result;
}

__device__ inline void add_products(Eight& sums, const Eight& a, const Eight& b) {
  PIXART_UNROLL()
  for (int i = 0; i < 8; ++i) sums.v[i] += a.v[i] * b.v[i];
}

// The bias [width], or zeros.
__device__ inline Eight read_bias(const float* bias, const Place& place) {
  return read(bias, place, bias != nullptr);
}

__device__ inline Place place_in_tile(int64_t width) {
  return Place(int((blockIdx.y * blockDim.x + threadIdx.x) / kLanes), width);
}

inline const char* launch_error() {
  const cudaError_t error = cudaGetLastError();
  return error == cudaSuccess ? nullptr : cudaGetErrorString(error);
}

}  // namespace pixart::nn::kernels
