#include "cuda_rows.h"

namespace pixart::nn::kernels {

namespace {

constexpr int kSumWarps = 8;  // each adds every eighth part
constexpr int kSumColumns = kPiece * kLanes;

__device__ float4 plus(const float4& a, const float4& b) {
  return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}

__global__ void sum_parts_kernel(const float* parts, float* sums, int64_t count, int64_t width) {
  __shared__ float4 of_warps[kSumWarps][kLanes];
  const int lane = int(threadIdx.x) % kLanes, warp = int(threadIdx.x) / kLanes;
  const int64_t tiles = (width + kSumColumns - 1) / kSumColumns, group = blockIdx.x / tiles,
                column = blockIdx.x % tiles * kSumColumns + kPiece * lane;
  float4 sum = make_float4(0, 0, 0, 0);
  PIXART_UNROLL(4)
  for (int64_t i = warp; i < count; i += kSumWarps)
    sum = plus(sum, read_piece(parts + (group * count + i) * width + column, column < width));
  of_warps[warp][lane] = sum;
  __syncthreads();
  if (warp != 0 || column >= width) return;
  PIXART_UNROLL()
  for (int i = 1; i < kSumWarps; ++i) sum = plus(sum, of_warps[i][lane]);
  __stwb(reinterpret_cast<float4*>(sums + group * width + column), sum);
}

}  // namespace

int64_t parts_of(const ImageRows& rows) { return (rows.tokens + kPartRows - 1) / kPartRows; }

const char* sum_parts_cuda(const float* parts, float* sums, int64_t groups, int64_t count, int64_t width,
                           void* stream) {
  const int64_t blocks = groups * ((width + kSumColumns - 1) / kSumColumns);
  if (blocks == 0) return nullptr;
  sum_parts_kernel<<<unsigned(blocks), kSumWarps * kLanes, 0, static_cast<cudaStream_t>(stream)>>>(
      parts, sums, count, width);
  return launch_error();
}

}  // namespace pixart::nn::kernels
