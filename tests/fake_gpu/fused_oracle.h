// The operations between matrix products in double precision, written down plainly: what the kernels of src/nn
// must give.
#pragma once
#include <cmath>
#include <cstddef>
#include <vector>

namespace fused_oracle {

using Doubles = std::vector<double>;

struct Size {
  size_t images, tokens, width;
  size_t rows() const { return images * tokens; }
  size_t count() const { return rows() * width; }
};

// Of number i: the place of its image's modulation.
inline size_t modulation_at(const Size& size, size_t i) {
  return i / size.width / size.tokens * size.width + i % size.width;
}

inline double gelu_gate(double x) {
  return 0.5 * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}
inline double gelu_slope(double x) {
  const double s = gelu_gate(x);
  return s + x * s * (1 - s) * 2 * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
}

struct Gelu {
  Doubles out, to_x, to_bias;
};
inline Gelu bias_gelu(const Size& size, const Doubles& x, const Doubles& bias, const Doubles& gradient) {
  Gelu result{Doubles(size.count()), Doubles(size.count()), Doubles(size.width)};
  for (size_t i = 0; i < size.count(); ++i) {
    const double at = x[i] + bias[i % size.width];
    result.out[i] = at * gelu_gate(at);
    result.to_x[i] = gradient[i] * gelu_slope(at);
    result.to_bias[i % size.width] += result.to_x[i];
  }
  return result;
}

inline Doubles added(const Size& size, const Doubles& x, const Doubles& gate, const Doubles& branch) {
  Doubles sum = x;
  for (size_t i = 0; i < size.count() && !branch.empty(); ++i)
    sum[i] += (gate.empty() ? 1 : gate[modulation_at(size, i)]) * branch[i];
  return sum;
}

// Of the branch and its gate, from the gradient of the sum.
struct ToBranch {
  Doubles branch, gate;
};
inline ToBranch branch_gradients(const Size& size, const Doubles& down, const Doubles& gate,
                                 const Doubles& branch) {
  ToBranch to{down, Doubles(size.images * size.width)};
  for (size_t i = 0; i < size.count(); ++i) {
    if (!gate.empty()) to.branch[i] *= gate[modulation_at(size, i)];
    if (!branch.empty()) to.gate[modulation_at(size, i)] += down[i] * branch[i];
  }
  return to;
}

struct Norm {
  Doubles out, mean, rstd, normal;
};
inline Norm modulated_norm(const Size& size, const Doubles& x, const Doubles& shift, const Doubles& scale,
                           double eps) {
  Norm result{Doubles(size.count()), Doubles(size.rows()), Doubles(size.rows()), Doubles(size.count())};
  for (size_t row = 0; row < size.rows(); ++row) {
    const double* from = x.data() + row * size.width;
    double squares = 0;
    for (size_t i = 0; i < size.width; ++i) result.mean[row] += from[i] / double(size.width);
    for (size_t i = 0; i < size.width; ++i) squares += std::pow(from[i] - result.mean[row], 2);
    result.rstd[row] = 1 / std::sqrt(squares / double(size.width) + eps);
    for (size_t i = 0; i < size.width; ++i) {
      const size_t at = row * size.width + i, of = modulation_at(size, at);
      result.normal[at] = (from[i] - result.mean[row]) * result.rstd[row];
      result.out[at] = result.normal[at] * (1 + scale[of]) + shift[of];
    }
  }
  return result;
}

struct ToNorm {
  Doubles x, shift, scale;
};
inline ToNorm norm_gradients(const Size& size, const Norm& norm, const Doubles& scale,
                             const Doubles& gradient) {
  ToNorm to{Doubles(size.count()), Doubles(size.images * size.width), Doubles(size.images * size.width)};
  for (size_t row = 0; row < size.rows(); ++row) {
    double mean = 0, product = 0;
    for (size_t i = row * size.width; i < (row + 1) * size.width; ++i) {
      const size_t of = modulation_at(size, i);
      const double slope = gradient[i] * (1 + scale[of]);
      to.shift[of] += gradient[i];
      to.scale[of] += gradient[i] * norm.normal[i];
      mean += slope / double(size.width);
      product += slope * norm.normal[i] / double(size.width);
    }
    for (size_t i = row * size.width; i < (row + 1) * size.width; ++i)
      to.x[i] = norm.rstd[row] *
                (gradient[i] * (1 + scale[modulation_at(size, i)]) - mean - norm.normal[i] * product);
  }
  return to;
}

}  // namespace fused_oracle
