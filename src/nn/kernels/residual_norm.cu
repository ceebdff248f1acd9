#include "cuda_rows.h"

namespace pixart::nn::kernels {

namespace {

// Rows that a block has in registers at once: two, or one in blocks of many threads, which have few registers
// each.
constexpr int kNarrowWarps = kMostWarps / 2;
template <int kWarps>
constexpr int kRowsAtOnce = kWarps > kNarrowWarps ? 1 : 2;

template <class X, class V, int kWarps>
__global__ void __launch_bounds__(kWarps* kLanes, 1)
    residual_norm_kernel(ResidualNorm<X, V> work, ImageRows rows, int part_rows) {
  constexpr int kRows = kRowsAtOnce<kWarps>;
  const Part part(rows, part_rows);
  if (part.first >= part.end) return;
  const Place place = place_in_tile(rows.width);
  const Eight shift = read(work.shift, part.image, place, 0), scale = read(work.scale, part.image, place, 0),
              gate = read(work.gate, part.image, place, 1), bias = read_bias(work.bias, place),
              earlier_gate = read(work.earlier.gate, part.image, place, 1),
              earlier_bias = read_bias(work.earlier.bias, place);
  const float per_number = 1.0F / float(rows.width);
  int turn = 0;
  PIXART_UNROLL(1)
  for (int64_t row = part.first; row < part.end; row += kRows) {
    const int64_t at = part.at + row * rows.width;
    Eight x[kRows];
    float means[kRows] = {}, squares[kRows] = {};
    PIXART_UNROLL()
    for (int r = 0; r < kRows; ++r) x[r] = read(work.x + at + r * rows.width, place, row + r < part.end);
    if (work.earlier.branch != nullptr) {
      PIXART_UNROLL()
      for (int r = 0; r < kRows; ++r) {
        const Eight branch = read(work.earlier.branch + at + r * rows.width, place, row + r < part.end);
        PIXART_UNROLL()
        for (int i = 0; i < 8; ++i)
          x[r].v[i] = added(x[r].v[i], earlier_gate.v[i], branch.v[i] + earlier_bias.v[i]);
        round_to(work.sum, x[r]);
      }
    }
    if (work.branch != nullptr) {
      Eight branch[kRows];
      PIXART_UNROLL()
      for (int r = 0; r < kRows; ++r)
        branch[r] = read(work.branch + at + r * rows.width, place, row + r < part.end);
      PIXART_UNROLL()
      for (int r = 0; r < kRows; ++r) {
        PIXART_UNROLL()
        for (int i = 0; i < 8; ++i) x[r].v[i] = added(x[r].v[i], gate.v[i], branch[r].v[i] + bias.v[i]);
        round_to(work.sum, x[r]);
        write(work.sum + at + r * rows.width, place, x[r], row + r < part.end);
      }
    }
    PIXART_UNROLL()
    for (int r = 0; r < kRows; ++r) PIXART_UNROLL()
    for (int i = 0; i < 8; ++i) means[r] += x[r].v[i];
    sum_over_block(means, turn);
    PIXART_UNROLL()
    for (int r = 0; r < kRows; ++r) {
      means[r] *= per_number;
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i)
        if (place.has(i)) squares[r] += (x[r].v[i] - means[r]) * (x[r].v[i] - means[r]);
    }
    sum_over_block(squares, turn);
    PIXART_UNROLL()
    for (int r = 0; r < kRows; ++r) {
      const float rstd = 1.0F / sqrtf(squares[r] * per_number + work.eps);
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i)
        x[r].v[i] = modulated(normal_of(x[r].v[i], means[r], rstd), shift.v[i], scale.v[i]);
      write(work.out + at + r * rows.width, place, x[r], row + r < part.end);
      if (threadIdx.x != 0 || row + r >= part.end || work.mean == nullptr) continue;
      __stwb(work.mean + part.image * rows.tokens + row + r, means[r]);
      __stwb(work.rstd + part.image * rows.tokens + row + r, rstd);
    }
  }
}

template <class X, class V, int kWarps>
__global__ void __launch_bounds__(kWarps* kLanes, 1)
    residual_norm_backward_kernel(ResidualNormGradients<X, V> work, ImageRows rows) {
  constexpr int kRows = kRowsAtOnce<kWarps>;
  const Part part(rows, kPartRows);
  if (part.first >= part.end) return;
  const Place place = place_in_tile(rows.width);
  const Eight scale = read(work.scale, part.image, place, 0), gate = read(work.gate, part.image, place, 1);
  Eight to_shift = {}, to_scale = {}, to_gate = {};
  Eight downs = {};  // the sum of the gradient; that of the gate is without the bias in the loop
  const float per_number = 1.0F / float(rows.width);
  int turn = 0;
  PIXART_UNROLL(1)
  for (int64_t row = part.first; row < part.end; row += kRows) {
    const int64_t at = part.at + row * rows.width, token = part.image * rows.tokens + row;
    Eight normal[kRows], slope[kRows];
    float rstd[kRows], sums[2 * kRows] = {};
    PIXART_UNROLL()
    for (int r = 0; r < kRows; ++r) {
      const bool valid = row + r < part.end;
      normal[r] = read(work.sum + at + r * rows.width, place, valid);
      slope[r] = read(work.out + at + r * rows.width, place, valid);
      const float mean = valid ? __ldg(work.mean + token + r) : 0;
      rstd[r] = valid ? __ldg(work.rstd + token + r) : 0;
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i) {
        normal[r].v[i] = normal_of(normal[r].v[i], mean, rstd[r]);
        to_shift.v[i] += slope[r].v[i];
        to_scale.v[i] += slope[r].v[i] * normal[r].v[i];
        slope[r].v[i] *= 1 + scale.v[i];
        sums[2 * r] += slope[r].v[i];
        sums[2 * r + 1] += slope[r].v[i] * normal[r].v[i];
      }
    }
    sum_over_block(sums, turn);
    PIXART_UNROLL()
    for (int r = 0; r < kRows; ++r) {
      const bool valid = row + r < part.end;
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i)
        slope[r].v[i] = norm_slope(slope[r].v[i], normal[r].v[i], rstd[r], sums[2 * r] * per_number,
                                   sums[2 * r + 1] * per_number);
      if (work.sum_gradient != nullptr) {
        const Eight more = read(work.sum_gradient + at + r * rows.width, place, valid);
        PIXART_UNROLL()
        for (int i = 0; i < 8; ++i) slope[r].v[i] += more.v[i];
      }
      if (work.rounded_gradient != nullptr) {
        const Eight more = read(work.rounded_gradient + at + r * rows.width, place, valid);
        PIXART_UNROLL()
        for (int i = 0; i < 8; ++i) slope[r].v[i] += more.v[i];
      }
      write(work.to_x + at + r * rows.width, place, slope[r], valid);
      if (work.branch != nullptr) {
        const Eight branch = read(work.branch + at + r * rows.width, place, valid);
        PIXART_UNROLL()
        for (int i = 0; i < 8; ++i) to_gate.v[i] += slope[r].v[i] * branch.v[i];
      }
      if (work.to_branch == nullptr && !work.with_bias) continue;
      PIXART_UNROLL()
      for (int i = 0; i < 8; ++i) {
        downs.v[i] += slope[r].v[i];
        slope[r].v[i] *= gate.v[i];
      }
      if (work.to_branch == nullptr) continue;
      write(work.to_branch + at + r * rows.width, place, slope[r], valid);
    }
  }
  if (work.parts == nullptr) return;
  float* parts =
      work.parts + int64_t(blockIdx.x) * (2 + (work.branch != nullptr) + work.with_bias) * rows.width;
  write(parts, place, to_shift);
  write(parts + rows.width, place, to_scale);
  parts += 2 * rows.width;
  if (work.branch != nullptr) {
    add_products(to_gate, downs, read_bias(work.bias, place));
    write(parts, place, to_gate);
    parts += rows.width;
  }
  if (!work.with_bias) return;
  PIXART_UNROLL()
  for (int i = 0; i < 8; ++i) downs.v[i] *= gate.v[i];
  write(parts, place, downs);
}

}  // namespace

template <class X, class V>
const char* residual_norm_cuda(const ResidualNorm<X, V>& work, const ImageRows& rows, void* stream) {
  const int part_rows = forward_rows(rows, kRowsAtOnce<kNarrowWarps>);
  const Blocks blocks = blocks_for(rows, part_rows, kMostWarps);
  const auto of_device = static_cast<cudaStream_t>(stream);
  if (rows.width <= kNarrowWarps * kSegment)
    residual_norm_kernel<X, V, kNarrowWarps>
        <<<blocks.grid, blocks.threads, 0, of_device>>>(work, rows, part_rows);
  else
    residual_norm_kernel<X, V, kMostWarps>
        <<<blocks.grid, blocks.threads, 0, of_device>>>(work, rows, part_rows);
  return launch_error();
}

template <class X, class V>
const char* residual_norm_backward_cuda(const ResidualNormGradients<X, V>& work, const ImageRows& rows,
                                        void* stream) {
  const Blocks blocks = blocks_for(rows, kPartRows, kMostWarps);
  const auto of_device = static_cast<cudaStream_t>(stream);
  if (rows.width <= kNarrowWarps * kSegment)
    residual_norm_backward_kernel<X, V, kNarrowWarps>
        <<<blocks.grid, blocks.threads, 0, of_device>>>(work, rows);
  else
    residual_norm_backward_kernel<X, V, kMostWarps>
        <<<blocks.grid, blocks.threads, 0, of_device>>>(work, rows);
  return launch_error();
}

#define PIXART_INSTANTIATE(X, V)                                                                         \
  template const char* residual_norm_cuda(const ResidualNorm<X, V>&, const ImageRows&, void*);           \
  template const char* residual_norm_backward_cuda(const ResidualNormGradients<X, V>&, const ImageRows&, \
                                                   void*);
PIXART_INSTANTIATE(float, float)
PIXART_INSTANTIATE(float, Bfloat16)
PIXART_INSTANTIATE(Bfloat16, Bfloat16)
#undef PIXART_INSTANTIATE

}  // namespace pixart::nn::kernels
