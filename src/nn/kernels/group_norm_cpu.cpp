#include "group_norm_cpu.h"

#include <algorithm>

#include "exponential.h"
#include "pixart/base/cpu_clones.h"

namespace pixart::nn::kernels {

namespace {

constexpr int64_t kChannels = 64;    // whose sums are kept in registers or in the nearest cache
constexpr int64_t kRowsAtOnce = 32;  // that are added in float32; sums of these are added in float64

PIXART_INLINE float silu(float x) { return x / (1 + exponential(limited(-x))); }

}  // namespace

PIXART_CPU_CLONES void channel_sums(const float* __restrict__ x, const float* __restrict__ origin,
                                    double* __restrict__ sums, double* __restrict__ squares, Rows rows) {
  std::fill_n(sums, rows.width, 0.0);
  std::fill_n(squares, rows.width, 0.0);
  for (int64_t first = 0; first < rows.count; first += kRowsAtOnce) {
    const int64_t end = std::min(rows.count, first + kRowsAtOnce);
    for (int64_t c = 0; c < rows.width; c += kChannels) {
      const int64_t count = std::min(kChannels, rows.width - c);
      float sum[kChannels] = {}, square[kChannels] = {};
      for (int64_t row = first; row < end; ++row) {
        const float *from = x + row * rows.width + c, *about = origin + c;
#pragma omp simd
        for (int64_t i = 0; i < count; ++i) {
          const float distance = from[i] - about[i];
          sum[i] += distance;
          square[i] += distance * distance;
        }
      }
      for (int64_t i = 0; i < count; ++i) {
        sums[c + i] += sum[i];
        squares[c + i] += square[i];
      }
    }
  }
}

PIXART_CPU_CLONES void scale_channels(const float* __restrict__ x, const float* __restrict__ scale,
                                      const float* __restrict__ shift, float* __restrict__ out, Rows rows) {
  for (int64_t row = 0; row < rows.count; ++row, x += rows.width, out += rows.width) {
#pragma omp simd
    for (int64_t i = 0; i < rows.width; ++i) out[i] = x[i] * scale[i] + shift[i];
  }
}

PIXART_CPU_CLONES void scale_channels_silu(const float* __restrict__ x, const float* __restrict__ scale,
                                           const float* __restrict__ shift, float* __restrict__ out,
                                           Rows rows) {
  for (int64_t row = 0; row < rows.count; ++row, x += rows.width, out += rows.width) {
#pragma omp simd
    for (int64_t i = 0; i < rows.width; ++i) out[i] = silu(x[i] * scale[i] + shift[i]);
  }
}

}  // namespace pixart::nn::kernels
