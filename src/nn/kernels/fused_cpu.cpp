#include "fused_cpu.h"

#include <algorithm>
#include <cmath>

#include "elements.h"
#include "exponential.h"
#include "pixart/base/cpu_clones.h"

namespace pixart::nn::kernels {

namespace {

struct Logistic {
  PIXART_INLINE Share operator()(float x) const {
    const float part = 1 / (1 + exponential(limited(-x)));
    return {part, 1 - part};
  }
};

}  // namespace

PIXART_CPU_CLONES void bias_gelu(const float* __restrict__ x, const float* __restrict__ bias,
                                 float* __restrict__ out, Rows rows) {
  for (int64_t row = 0; row < rows.count; ++row, x += rows.width, out += rows.width) {
#pragma omp simd
    for (int64_t i = 0; i < rows.width; ++i) out[i] = gelu(x[i] + bias[i], Logistic());
  }
}

PIXART_CPU_CLONES void bias_gelu_backward(const float* __restrict__ x, const float* __restrict__ bias,
                                          const float* __restrict__ gradient, float* __restrict__ to_x,
                                          float* __restrict__ to_bias, Rows rows) {
  std::fill_n(to_bias, rows.width, 0.0F);
  for (int64_t row = 0; row < rows.count;
       ++row, x += rows.width, gradient += rows.width, to_x += rows.width) {
#pragma omp simd
    for (int64_t i = 0; i < rows.width; ++i) {
      const float g = gradient[i] * gelu_slope(x[i] + bias[i], Logistic());
      to_x[i] = g;
      to_bias[i] += g;
    }
  }
}

PIXART_CPU_CLONES void modulated_norm(const float* __restrict__ x, const float* __restrict__ shift,
                                      const float* __restrict__ scale, float eps, float* __restrict__ out,
                                      float* __restrict__ mean, float* __restrict__ rstd, Rows rows) {
  const float per_number = 1.0F / float(rows.width);
  for (int64_t row = 0; row < rows.count; ++row, x += rows.width, out += rows.width) {
    float sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < rows.width; ++i) sum += x[i];
    const float m = sum * per_number;
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < rows.width; ++i) squares += (x[i] - m) * (x[i] - m);
    const float r = 1 / std::sqrt(squares * per_number + eps);
#pragma omp simd
    for (int64_t i = 0; i < rows.width; ++i) out[i] = modulated(normal_of(x[i], m, r), shift[i], scale[i]);
    mean[row] = m;
    rstd[row] = r;
  }
}

PIXART_CPU_CLONES void modulated_norm_backward(const float* __restrict__ x, const float* __restrict__ mean,
                                               const float* __restrict__ rstd,
                                               const float* __restrict__ scale,
                                               const float* __restrict__ gradient, float* __restrict__ to_x,
                                               float* __restrict__ to_shift, float* __restrict__ to_scale,
                                               Rows rows) {
  std::fill_n(to_shift, rows.width, 0.0F);
  std::fill_n(to_scale, rows.width, 0.0F);
  const float per_number = 1.0F / float(rows.width);
  for (int64_t row = 0; row < rows.count;
       ++row, x += rows.width, gradient += rows.width, to_x += rows.width) {
    const float m = mean[row], r = rstd[row];
    float sum = 0, product = 0;  // sums of the normal's gradient, and of that gradient times the normal
#pragma omp simd reduction(+ : sum, product)
    for (int64_t i = 0; i < rows.width; ++i) {
      const float normal = normal_of(x[i], m, r), g = gradient[i] * (1 + scale[i]);
      to_shift[i] += gradient[i];
      to_scale[i] += gradient[i] * normal;
      sum += g;
      product += g * normal;
    }
    sum *= per_number;
    product *= per_number;
#pragma omp simd
    for (int64_t i = 0; i < rows.width; ++i)
      to_x[i] = norm_slope(gradient[i] * (1 + scale[i]), normal_of(x[i], m, r), r, sum, product);
  }
}

PIXART_CPU_CLONES void sum_of(const float* a, const float* b, float* out, Rows rows) {
#pragma omp simd
  for (int64_t i = 0; i < rows.count * rows.width; ++i) out[i] = a[i] + b[i];
}

PIXART_CPU_CLONES void gated_residual(const float* __restrict__ x, const float* __restrict__ gate,
                                      const float* __restrict__ branch, float* __restrict__ out, Rows rows) {
  for (int64_t row = 0; row < rows.count; ++row, x += rows.width, branch += rows.width, out += rows.width) {
#pragma omp simd
    for (int64_t i = 0; i < rows.width; ++i) out[i] = added(x[i], gate[i], branch[i]);
  }
}

PIXART_CPU_CLONES void gated_residual_backward(const float* __restrict__ gate,
                                               const float* __restrict__ branch,
                                               const float* __restrict__ gradient,
                                               float* __restrict__ to_gate, float* __restrict__ to_branch,
                                               Rows rows) {
  std::fill_n(to_gate, rows.width, 0.0F);
  for (int64_t row = 0; row < rows.count;
       ++row, branch += rows.width, gradient += rows.width, to_branch += rows.width) {
#pragma omp simd
    for (int64_t i = 0; i < rows.width; ++i) {
      to_branch[i] = gradient[i] * gate[i];
      to_gate[i] += gradient[i] * branch[i];
    }
  }
}

}  // namespace pixart::nn::kernels
