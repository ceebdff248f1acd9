#include "cuda_rows.h"

namespace pixart::nn::kernels {

namespace {

constexpr int kJoinRows = 64;       // of one part of a sum
constexpr int kJoinRowsAtOnce = 4;  // that a thread reads at once

// A block has the columns of a tile of one source, in kJoinRows rows.
template <class T>
__global__ void __launch_bounds__(kTileWarps* kLanes, kTileBlocks)
    join_rows_kernel(JoinedRows<T> work, int64_t rows, int64_t width) {
  const int tiles = int(gridDim.y) / work.count, source = int(blockIdx.y) / tiles;
  const Place place(int(blockIdx.y) % tiles * int(blockDim.x / kLanes) + int(threadIdx.x) / kLanes, width);
  const int64_t joined = work.count * width, first = int64_t(blockIdx.x) * kJoinRows,
                end = first + kJoinRows < rows ? first + kJoinRows : rows;
  const T* from = work.sources[source];
  T* to = work.out + source * width;
  Eight sums = {};
  PIXART_UNROLL(1)
  for (int64_t row = first; row < end; row += kJoinRowsAtOnce) {
    Eight values[kJoinRowsAtOnce];
    PIXART_UNROLL()
    for (int r = 0; r < kJoinRowsAtOnce; ++r)
      values[r] = read(from + (row + r) * width, place, row + r < end);
    PIXART_UNROLL()
    for (int r = 0; r < kJoinRowsAtOnce; ++r) {
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i) sums.v[i] += values[r].v[i];
      write(to + (row + r) * joined, place, values[r], row + r < end);
    }
  }
  if (work.parts != nullptr) write(work.parts + blockIdx.x * joined + source * width, place, sums);
}

}  // namespace

int64_t join_parts_of(int64_t rows) { return (rows + kJoinRows - 1) / kJoinRows; }

template <class T>
const char* join_rows_cuda(const JoinedRows<T>& work, int64_t rows, int64_t width, void* stream) {
  if (rows == 0) return nullptr;
  Blocks blocks = blocks_for({1, rows, width}, kJoinRows, kTileWarps);
  blocks.grid.y *= unsigned(work.count);
  join_rows_kernel<T>
      <<<blocks.grid, blocks.threads, 0, static_cast<cudaStream_t>(stream)>>>(work, rows, width);
  return launch_error();
}

template const char* join_rows_cuda(const JoinedRows<float>&, int64_t, int64_t, void*);
template const char* join_rows_cuda(const JoinedRows<Bfloat16>&, int64_t, int64_t, void*);

}  // namespace pixart::nn::kernels
