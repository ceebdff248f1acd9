// The only copy of CAME's formulas, for one element. C++17, no LibTorch, because nvcc compiles this, too.
#pragma once
#include <cmath>

#include "came.h"

namespace pixart::optim::kernels {

PIXART_HOST_DEVICE inline float reciprocal_root(float x) { return 1.0F / sqrtf(x); }

PIXART_HOST_DEVICE inline float came_square(const CameElement& e, float gradient) {
  const float scaled = gradient * e.gradient_scale;
  return scaled * scaled + e.eps;
}

// A moving mean after one more value. `residual`: of residuals, otherwise of squared gradients.
PIXART_HOST_DEVICE inline float came_follow(const CameElement& e, bool residual, float mean, float value) {
  return residual ? e.beta3 * mean + e.rest3 * value : e.beta2 * mean + e.rest2 * value;
}

// `root`: the reciprocal root of the second moment.
PIXART_HOST_DEVICE inline float came_update(const CameElement& e, float gradient, float root) {
  return root * (gradient * e.gradient_scale);
}

// The divisor that limits the root mean square of an update of `count` elements.
PIXART_HOST_DEVICE inline float came_limit(const CameElement& e, double squares, int64_t count) {
  const float factor = float(sqrt(squares / double(count))) / e.clip_threshold;
  return factor < 1.0F ? 1.0F : factor;  // NaN stays
}

// Moves the mean of updates; returns the squared distance of this update.
PIXART_HOST_DEVICE inline float came_average(const CameElement& e, float& exp_avg, float update) {
  exp_avg = e.beta1 * exp_avg + e.rest1 * update;
  const float distance = update - exp_avg;
  return distance * distance + e.residual_eps;
}

PIXART_HOST_DEVICE inline float came_value(const CameElement& e, float value, float direction, bool decays) {
  return (decays ? value * e.keep : value) - e.lr * direction;
}

// What follows from a new value.
PIXART_HOST_DEVICE inline void came_store(const CameBuffers& b, const CameElement& e, int64_t i,
                                          float value) {
  b.values[i] = value;
  if (b.ema != nullptr) b.ema[i] = e.ema_decay * b.ema[i] + e.ema_rest * value;
  if (b.rounded != nullptr) b.rounded[i] = to_bfloat16(value);
}

// Where the moments of rows and columns are in `moments`, in floats from the parameter's first.
PIXART_HOST_DEVICE inline int64_t came_rows(const CameParameter& p, bool residual) {
  return residual ? p.matrices * (p.rows + p.columns) : 0;
}
PIXART_HOST_DEVICE inline int64_t came_columns(const CameParameter& p, bool residual) {
  return came_rows(p, residual) + p.matrices * p.rows;
}

}  // namespace pixart::optim::kernels
