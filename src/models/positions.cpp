#include "positions.h"

#include <ATen/ATen.h>

#include "pixart/base/error.h"
#include "pixart/models/transformer_shape.h"

namespace pixart::models {

namespace {

// [n, D/2] float64: sin then cos of u * 10000^(-k / (D/4)).
at::Tensor axis_features(const at::Tensor& u, int64_t width) {
  const int64_t count = width / 2;
  const at::Tensor exponents = at::arange(count, at::kDouble) / double(count);
  const at::Tensor angles = u.unsqueeze(1) * at::pow(10000.0, exponents).reciprocal().unsqueeze(0);
  return at::cat({angles.sin(), angles.cos()}, 1);
}

// The grid is float32 in the released code; it is divided by the scale in float64.
at::Tensor coordinates(int64_t count, int64_t base, double scale) {
  const float stretch = float(double(count) / double(base));
  return (at::arange(count, at::kFloat) / stretch).to(at::kDouble) / scale;
}

}  // namespace

at::Tensor sincos_positions(int64_t hidden_size, int64_t rows, int64_t cols, int64_t base, double scale) {
  PIXART_CHECK(hidden_size % 4 == 0, "width {}", hidden_size);
  const at::Tensor across = axis_features(coordinates(cols, base, scale), hidden_size / 2);
  const at::Tensor down = axis_features(coordinates(rows, base, scale), hidden_size / 2);
  const at::Tensor table = at::cat({across.unsqueeze(0).expand({rows, cols, hidden_size / 2}),
                                    down.unsqueeze(1).expand({rows, cols, hidden_size / 2})},
                                   2);
  return table.reshape({1, rows * cols, hidden_size}).to(at::kFloat);
}

at::Tensor guide_three_channels(const at::Tensor& output, double scale) {
  const auto parts = output.split_with_sizes({3, output.size(1) - 3}, 1);
  const auto halves = parts[0].chunk(2);
  const at::Tensor guided = halves[1] + scale * (halves[0] - halves[1]);
  return at::cat({at::cat({guided, guided}), parts[1]}, 1);
}

}  // namespace pixart::models
