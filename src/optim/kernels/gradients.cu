#include <algorithm>
#include <cstdint>

#include "cuda_blocks.h"
#include "gradients.h"

namespace pixart::optim::kernels {

namespace {

constexpr int kThreads = 256;
constexpr int kTotalThreads = 1024;
constexpr int64_t kMostBlocks = int64_t{1} << 30;

__device__ double square_of(float value) { return double(value) * double(value); }
__device__ double square_of(const float4& v) {
  return (square_of(v.x) + square_of(v.y)) + (square_of(v.z) + square_of(v.w));
}

__device__ float4 load_four(const float* from) { return __ldg(reinterpret_cast<const float4*>(from)); }
__device__ float4 load_four(const Bfloat16Bits* from) {
  const uint2 words = __ldg(reinterpret_cast<const uint2*>(from));
  return make_float4(
      to_float(Bfloat16Bits{uint16_t(words.x)}), to_float(Bfloat16Bits{uint16_t(words.x >> 16)}),
      to_float(Bfloat16Bits{uint16_t(words.y)}), to_float(Bfloat16Bits{uint16_t(words.y >> 16)}));
}

__device__ float load_one(const float* from) { return __ldg(from); }
__device__ float load_one(const Bfloat16Bits* from) {
  return to_float(Bfloat16Bits{__ldg(reinterpret_cast<const uint16_t*>(from))});
}

// One tile: four elements at once where source and target allow it, then the rest.
template <class Source>
__device__ double gather_tile(const Source* source, float* target, int64_t count, bool adds, bool aligned) {
  double squares = 0;
  const int64_t vectors = aligned ? count / 4 : 0;
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) {
    float4 value = load_four(source + 4 * i);
    float4* into = reinterpret_cast<float4*>(target) + i;
    if (adds) {
      const float4 before = __ldcg(into);
      value = make_float4(before.x + value.x, before.y + value.y, before.z + value.z, before.w + value.w);
    }
    __stwb(into, value);
    squares += square_of(value);
  }
  for (int64_t i = 4 * vectors + threadIdx.x; i < count; i += kThreads) {
    const float given = load_one(source + i), value = adds ? __ldcg(target + i) + given : given;
    __stwb(target + i, value);
    squares += square_of(value);
  }
  return squares;
}

__device__ bool divides(int64_t bytes, const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer) % std::uintptr_t(bytes) == 0;
}

// Block b has the b-th tile of all pieces.
__global__ void gather_gradients_kernel(float* flat, GradientPieces pieces, double* partials) {
  __shared__ double of_warps[kThreads / kWarpThreads];
  int64_t tile = blockIdx.x;
  int p = 0;
  while (tile >= gradient_tiles(pieces.pieces[p].count)) tile -= gradient_tiles(pieces.pieces[p++].count);
  const GradientPiece& piece = pieces.pieces[p];
  const int64_t begin = tile * kGradientTile, left = piece.count - begin;
  const int64_t count = left < kGradientTile ? left : kGradientTile;
  float* target = flat + piece.offset + begin;
  double squares;
  if (piece.is_bfloat16) {
    const auto* source = static_cast<const Bfloat16Bits*>(piece.source) + begin;
    squares = gather_tile(source, target, count, piece.adds, divides(16, target) && divides(8, source));
  } else {
    const auto* source = static_cast<const float*>(piece.source) + begin;
    squares = gather_tile(source, target, count, piece.adds, divides(16, target) && divides(16, source));
  }
  if (partials == nullptr) return;
  squares = sum_over_block(squares, kThreads, of_warps);
  if (threadIdx.x == 0) __stwb(partials + piece.first_tile + tile, squares);
}

__global__ void tile_squares_kernel(const float* values, int64_t count, double* partials) {
  __shared__ double of_warps[kThreads / kWarpThreads];
  const int64_t begin = int64_t(blockIdx.x) * kGradientTile, left = count - begin;
  const int64_t size = left < kGradientTile ? left : kGradientTile;
  const float* from = values + begin;
  const int64_t vectors = divides(16, from) ? size / 4 : 0;
  double squares = 0;
  for (int64_t i = threadIdx.x; i < vectors; i += kThreads) squares += square_of(load_four(from + 4 * i));
  for (int64_t i = 4 * vectors + threadIdx.x; i < size; i += kThreads)
    squares += square_of(load_one(from + i));
  squares = sum_over_block(squares, kThreads, of_warps);
  if (threadIdx.x == 0) __stwb(partials + blockIdx.x, squares);
}

__global__ void totals_kernel(LossValue loss, const double* partials, int64_t count, double* totals) {
  __shared__ double of_warps[kTotalThreads / kWarpThreads];
  double sum = 0;
  for (int64_t i = threadIdx.x; i < count; i += kTotalThreads) sum += partials[i];
  sum = sum_over_block(sum, kTotalThreads, of_warps);
  if (threadIdx.x != 0) return;
  totals[0] = loss.get();
  totals[1] = sum;
}

}  // namespace

const char* gather_gradients_cuda(float* flat, const GradientPieces& pieces, double* partials, void* stream) {
  int64_t tiles = 0;
  for (int p = 0; p < pieces.count; ++p) tiles += gradient_tiles(pieces.pieces[p].count);
  if (tiles == 0) return nullptr;
  if (tiles > kMostBlocks) return "gradients of more elements than one launch can add";
  gather_gradients_kernel<<<unsigned(tiles), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(flat, pieces,
                                                                                               partials);
  return error_of_launch();
}

const char* tile_squares_cuda(const float* values, int64_t count, double* partials, void* stream) {
  const int64_t tiles = gradient_tiles(count);
  if (tiles == 0) return nullptr;
  if (tiles > kMostBlocks) return "gradients of more elements than one launch can square";
  tile_squares_kernel<<<unsigned(tiles), kThreads, 0, static_cast<cudaStream_t>(stream)>>>(values, count,
                                                                                           partials);
  return error_of_launch();
}

const char* totals_cuda(const LossValue& loss, const double* partials, int64_t count, double* totals,
                        void* stream) {
  totals_kernel<<<1, kTotalThreads, 0, static_cast<cudaStream_t>(stream)>>>(loss, partials, count, totals);
  return error_of_launch();
}

}  // namespace pixart::optim::kernels
