#include "cuda_rows.h"

namespace pixart::nn::kernels {

namespace {

constexpr int kResidualRows = 2;  // that a thread reads at once

template <class X, class V>
__global__ void __launch_bounds__(kTileWarps* kLanes, kTileBlocks)
    gated_residual_kernel(GatedResidual<X, V> work, ImageRows rows, int part_rows) {
  const Part part(rows, part_rows);
  if (part.first >= part.end) return;
  const Place place = place_in_tile(rows.width);
  const Eight gate = read(work.gate, part.image, place, 1), bias = read_bias(work.bias, place);
  PIXART_UNROLL(1)
  for (int64_t row = part.first; row < part.end; row += kResidualRows) {
    const int64_t at = part.at + row * rows.width;
    Eight x[kResidualRows], branch[kResidualRows];
    PIXART_UNROLL()
    for (int r = 0; r < kResidualRows; ++r) {
      x[r] = read(work.x + at + r * rows.width, place, row + r < part.end);
      branch[r] = read(work.branch + at + r * rows.width, place, row + r < part.end);
    }
    PIXART_UNROLL()
    for (int r = 0; r < kResidualRows; ++r) {
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i) x[r].v[i] = added(x[r].v[i], gate.v[i], branch[r].v[i] + bias.v[i]);
      if (work.sum != nullptr) write(work.sum + at + r * rows.width, place, x[r], row + r < part.end);
      if (work.rounded != nullptr) write(work.rounded + at + r * rows.width, place, x[r], row + r < part.end);
    }
  }
}

template <class X, class V>
__global__ void __launch_bounds__(kTileWarps* kLanes, kTileBlocks)
    gated_residual_backward_kernel(GatedResidualGradients<X, V> work, ImageRows rows) {
  const Part part(rows, kPartRows);
  if (part.first >= part.end) return;
  const Place place = place_in_tile(rows.width);
  const Eight gate = read(work.gate, part.image, place, 1);
  Eight sums = {}, downs = {};  // of the gradient times the branch without its bias, and of the gradient
  PIXART_UNROLL(1)
  for (int64_t row = part.first; row < part.end; row += kResidualRows) {
    const int64_t at = part.at + row * rows.width;
    Eight down[kResidualRows];
    PIXART_UNROLL()
    for (int r = 0; r < kResidualRows; ++r) {
      down[r] = read(work.sum + at + r * rows.width, place, row + r < part.end);
      if (work.rounded == nullptr) continue;
      const Eight more = read(work.rounded + at + r * rows.width, place, row + r < part.end);
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i) down[r].v[i] += more.v[i];
    }
    PIXART_UNROLL()
    for (int r = 0; r < kResidualRows; ++r) {
      const bool valid = row + r < part.end;
      if (work.to_x != nullptr) write(work.to_x + at + r * rows.width, place, down[r], valid);
      if (work.branch != nullptr) {
        const Eight branch = read(work.branch + at + r * rows.width, place, valid);
        PIXART_UNROLL()
        for (int i = 0; i < 8; ++i) sums.v[i] += down[r].v[i] * branch.v[i];
      }
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i) {
        downs.v[i] += down[r].v[i];
        down[r].v[i] *= gate.v[i];
      }
      write(work.to_branch + at + r * rows.width, place, down[r], valid);
    }
  }
  if (work.parts == nullptr) return;
  float* parts = work.parts + int64_t(blockIdx.x) * ((work.branch != nullptr) + work.with_bias) * rows.width;
  if (work.branch != nullptr) {
    add_products(sums, downs, read_bias(work.bias, place));
    write(parts, place, sums);
    parts += rows.width;
  }
  if (!work.with_bias) return;
  PIXART_UNROLL()
  for (int i = 0; i < 8; ++i) downs.v[i] *= gate.v[i];
  write(parts, place, downs);
}

}  // namespace

template <class X, class V>
const char* gated_residual_cuda(const GatedResidual<X, V>& work, const ImageRows& rows, void* stream) {
  const int part_rows = forward_rows(rows, kResidualRows);
  const Blocks blocks = blocks_for(rows, part_rows, kTileWarps);
  gated_residual_kernel<X, V>
      <<<blocks.grid, blocks.threads, 0, static_cast<cudaStream_t>(stream)>>>(work, rows, part_rows);
  return launch_error();
}

template <class X, class V>
const char* gated_residual_backward_cuda(const GatedResidualGradients<X, V>& work, const ImageRows& rows,
                                         void* stream) {
  const Blocks blocks = blocks_for(rows, kPartRows, kTileWarps);
  gated_residual_backward_kernel<X, V>
      <<<blocks.grid, blocks.threads, 0, static_cast<cudaStream_t>(stream)>>>(work, rows);
  return launch_error();
}

#define PIXART_INSTANTIATE(X, V)                                                                           \
  template const char* gated_residual_cuda(const GatedResidual<X, V>&, const ImageRows&, void*);           \
  template const char* gated_residual_backward_cuda(const GatedResidualGradients<X, V>&, const ImageRows&, \
                                                    void*);
PIXART_INSTANTIATE(float, float)
PIXART_INSTANTIATE(float, Bfloat16)
PIXART_INSTANTIATE(Bfloat16, Bfloat16)
#undef PIXART_INSTANTIATE

}  // namespace pixart::nn::kernels
