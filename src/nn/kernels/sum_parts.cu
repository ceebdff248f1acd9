#include "cuda_rows.h"

namespace pixart::nn::kernels {

namespace {

constexpr int kSumWarps = 8;  // each adds every eighth part
constexpr int kSumColumns = kPiece * kLanes;

__device__ float4 plus(const float4& a, const float4& b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

__host__ __device__ int64_t tiles_of(int64_t width) { return (width + kSumColumns - 1) / kSumColumns; }

// First the tiles of each group, then those of what the groups share.
__global__ void sum_parts_kernel(const float* parts, float* sums, float* of_all, PartSizes sizes) {
  __shared__ float4 of_warps[kSumWarps][kLanes];
  const int lane = int(threadIdx.x) % kLanes, warp = int(threadIdx.x) / kLanes;
  const int64_t own_tiles = tiles_of(sizes.width), own_blocks = sizes.groups * own_tiles,
                row = sizes.width + sizes.shared;
  const bool is_shared = blockIdx.x >= own_blocks;
  const int64_t group = is_shared ? 0 : blockIdx.x / own_tiles,
                tile = is_shared ? blockIdx.x - own_blocks : blockIdx.x % own_tiles,
                column = tile * kSumColumns + kPiece * lane,
                count = is_shared ? sizes.groups * sizes.count : sizes.count,
                width = is_shared ? sizes.shared : sizes.width;
  const float* from = parts + group * sizes.count * row + (is_shared ? sizes.width : 0);
  float4 sum = make_float4(0, 0, 0, 0);
  PIXART_UNROLL(4)
  for (int64_t i = warp; i < count; i += kSumWarps)
    sum = plus(sum, read_piece(from + i * row + column, column < width));
  of_warps[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || column >= width) return;
  PIXART_UNROLL()
  for (int i = 1; i < kSumWarps; ++i) sum = plus(sum, of_warps[i][lane]);
  __stwb(reinterpret_cast<float4*>((is_shared ? of_all : sums + group * width) + column), sum);
}

}  // namespace

int64_t parts_of(const ImageRows& rows) { return (rows.tokens + kPartRows - 1) / kPartRows; }

const char* sum_parts_cuda(const float* parts, float* sums, float* of_all, const PartSizes& sizes,
                           void* stream) {
  const int64_t blocks = sizes.groups * tiles_of(sizes.width) + tiles_of(sizes.shared);
  if (blocks == 0) return nullptr;
  sum_parts_kernel<<<unsigned(blocks), kSumWarps * kLanes, 0, static_cast<cudaStream_t>(stream)>>>(
      parts, sums, of_all, sizes);
  return launch_error();
}

}  // namespace pixart::nn::kernels
