// The only copy of the formulas, for one element; the order of operations is that of loss.cpp. C++17, no LibTorch, because
// nvcc compiles this, too.
#pragma once
#include <math.h>

#include "loss.h"

namespace pixart::diffusion::kernels {

constexpr float kSmallestProbability = 1e-12F;
constexpr float kEdge = 0.999F;           // values beyond it count as the first or last of 256 levels
constexpr float kHalfLevel = 1.0F / 255;  // half the distance of 256 levels in [-1, 1]
constexpr float kInverseLn2 = 1.44269504088896340736F;
constexpr float kRootOf2OverPi = 0.79788456080286535588F, kCubic = 0.044715F;

// tables at one timestep.
struct LossColumn {
  int64_t t;
  float alpha, sigma, weight, recip_alpha, recipm1, coef1, coef2, log_beta, posterior_log_variance,
      fixed_log_variance;
  PIXART_HOST_DEVICE LossColumn(const LossTables& tables, int64_t step)
      : t(step),
        alpha(at(tables.alpha)),
        sigma(at(tables.sigma)),
        weight(tables.weight == nullptr ? 1.0F : at(tables.weight)),
        recip_alpha(at(tables.recip_alpha)),
        recipm1(at(tables.recipm1)),
        coef1(at(tables.coef1)),
        coef2(at(tables.coef2)),
        log_beta(at(tables.log_beta)),
        posterior_log_variance(at(tables.posterior_log_variance)),
        fixed_log_variance(at(tables.fixed_log_variance)) {}
  PIXART_HOST_DEVICE float at(const float* row) const { return row == nullptr ? 0.0F : row[t]; }
};

struct LossPoint {
  float prediction, variance, x_start, x_t, noise;
};

struct LossValue {
  float mse, vb;  // vb: not scaled
};
struct LossSlope {
  float prediction, variance;
};

// target - what is compared with it; and the derivative of the latter by the prediction.
struct Difference {
  float value, slope;
};

PIXART_HOST_DEVICE inline Difference difference_of(const LossSetting& s, const LossColumn& c,
                                                   const LossPoint& p) {
  switch (s.compared) {
    case Compared::kNoise:
      return {p.noise - p.prediction, 1};
    case Compared::kXStart:
      return {p.x_start - p.prediction, 1};
    case Compared::kV:
      return {(c.alpha * p.noise - c.sigma * p.x_start) - p.prediction, 1};
    case Compared::kFlow:
      return {(p.noise - p.x_start) - p.prediction, 1};
    case Compared::kEitherOfNoise:
      if (c.t > kSnrNoiseAbove) return {p.noise - p.prediction, 1};
      return {p.x_start - (c.recip_alpha * p.x_t - c.recipm1 * p.prediction), -c.recipm1};
    case Compared::kEitherOfXStart:
      break;
  }
  if (c.t <= kSnrNoiseAbove) return {p.x_start - p.prediction, 1};
  return {p.noise - (c.recip_alpha * p.x_t - p.prediction) / c.recipm1, -1 / c.recipm1};
}

// The model's distribution of the less noisy latent, and the true one's mean.
struct Posteriors {
  float mean, log_variance, true_mean, true_log_variance;
};

PIXART_HOST_DEVICE inline Posteriors posteriors_of(const LossSetting& s, const LossColumn& c,
                                                   const LossPoint& p) {
  const float x_start = s.predicts_noise ? c.recip_alpha * p.x_t - c.recipm1 * p.prediction : p.prediction;
  const float fraction = (p.variance + 1) / 2;
  return {c.coef1 * x_start + c.coef2 * p.x_t,
          s.learns_variance ? fraction * c.log_beta + (1 - fraction) * c.posterior_log_variance
                            : c.fixed_log_variance,
          c.coef1 * p.x_start + c.coef2 * p.x_t, c.posterior_log_variance};
}

// The published code's approximation of the normal distribution function, and its derivative.
struct Cdf {
  float value, slope;
};
PIXART_HOST_DEVICE inline Cdf normal_cdf(float z) {
  const float root = tanhf(kRootOf2OverPi * (z + kCubic * (z * z * z)));
  return {0.5F * (1 + root), 0.5F * (1 - root * root) * (kRootOf2OverPi * (1 + 3 * kCubic * (z * z)))};
}

// By the mean and the log variance.
struct BoundSlope {
  float value, mean, log_variance;
};

PIXART_HOST_DEVICE inline BoundSlope normal_kl(const Posteriors& p) {
  const float difference = p.true_mean - p.mean, precision = expf(-p.log_variance),
              ratio = expf(p.true_log_variance - p.log_variance), square = difference * difference;
  return {0.5F * (-1 + p.log_variance - p.true_log_variance + ratio + square * precision),
          -difference * precision, 0.5F * (1 - ratio - square * precision)};
}

// Minus the log likelihood of x_start as one of 256 levels.
PIXART_HOST_DEVICE inline BoundSlope level_likelihood(const Posteriors& p, float x_start) {
  const float centered = x_start - p.mean, inverse_deviation = expf(-0.5F * p.log_variance);
  const float high = inverse_deviation * (centered + kHalfLevel),
              low = inverse_deviation * (centered - kHalfLevel);
  const Cdf upper = normal_cdf(high), lower = normal_cdf(low);
  const bool is_first = x_start < -kEdge, is_last = !is_first && x_start > kEdge;
  const float probability = is_first ? upper.value : is_last ? 1 - lower.value : upper.value - lower.value;
  const float inside = probability < kSmallestProbability ? kSmallestProbability : probability;
  const float by_probability = probability < kSmallestProbability ? 0.0F : -1 / inside;
  const float by_high = is_last ? 0.0F : upper.slope * by_probability,
              by_low = is_first ? 0.0F : -lower.slope * by_probability;
  // high and low fall with the mean by inverse_deviation, and with the log variance by half of themselves.
  return {-logf(inside), -inverse_deviation * (by_high + by_low), -0.5F * (by_high * high + by_low * low)};
}

PIXART_HOST_DEVICE inline BoundSlope bound_of(const LossSetting& s, const LossColumn& c, const LossPoint& p) {
  const Posteriors both = posteriors_of(s, c, p);
  return c.t == 0 ? level_likelihood(both, p.x_start) : normal_kl(both);
}

PIXART_HOST_DEVICE inline LossValue loss_of(const LossSetting& s, const LossColumn& c, const LossPoint& p) {
  LossValue value{0, 0};
  if (s.bound != Bound::kOnly) {
    const float difference = difference_of(s, c, p).value;
    value.mse = difference * difference;
  }
  if (s.bound != Bound::kNone) value.vb = bound_of(s, c, p).value;
  return value;
}

// `mse_scale` and `vb_scale`: the factors of one element's LossValue in what is differentiated.
PIXART_HOST_DEVICE inline LossSlope slope_of(const LossSetting& s, const LossColumn& c, const LossPoint& p,
                                             float mse_scale, float vb_scale) {
  LossSlope slope{0, 0};
  if (s.bound != Bound::kOnly) {
    const Difference d = difference_of(s, c, p);
    slope.prediction = -2 * d.value * d.slope * mse_scale;
  }
  if (s.bound == Bound::kNone) return slope;
  const BoundSlope bound = bound_of(s, c, p);
  if (s.learns_variance) {
    const float by_variance = bound.log_variance * vb_scale;
    slope.variance = (by_variance * c.log_beta - by_variance * c.posterior_log_variance) / 2;
  }
  if (s.bound == Bound::kOnly)
    slope.prediction = bound.mean * vb_scale * c.coef1 * (s.predicts_noise ? -c.recipm1 : 1.0F);
  return slope;
}

// The factors of one element's LossValue in scale * the loss of its image.
struct ElementScales {
  float mse, vb;
  PIXART_HOST_DEVICE ElementScales(const LossSetting& s, const LossColumn& c, float scale)
      : mse(scale * c.weight / float(s.per_image)),
        vb(scale * s.bound_scale * kInverseLn2 / float(s.per_image)) {}
};

template <class Output>
PIXART_HOST_DEVICE LossPoint point_at(const LossInputs<Output>& in, const LossSetting& s, int64_t image,
                                      int64_t i) {
  const int64_t from = image * s.output_per_image + i, at = image * s.per_image + i;
  return {to_float(in.output[from]), s.learns_variance ? to_float(in.output[from + s.per_image]) : 0.0F,
          in.x_start[at], in.x_t[at], in.noise[at]};
}

template <class Output>
PIXART_HOST_DEVICE void write_slope(const LossSetting& s, Output* gradient, int64_t image, int64_t i,
                                    const LossSlope& slope) {
  const int64_t at = image * s.output_per_image + i;
  store(gradient[at], slope.prediction);
  if (s.output_per_image > s.per_image) store(gradient[at + s.per_image], slope.variance);
}

// From the sums over an image.
PIXART_HOST_DEVICE inline void finish_image(const LossSetting& s, const LossResults& r, const int64_t* t,
                                            int64_t image) {
  const int64_t chunks = loss_chunks(s.per_image);
  double mse = 0, vb = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) {
    mse += r.partials[2 * (image * chunks + chunk)];
    vb += r.partials[2 * (image * chunks + chunk) + 1];
  }
  const LossColumn column(s.tables, t[image]);
  r.mse[image] = float(mse / double(s.per_image));
  r.vb[image] = float(vb / double(s.per_image)) * kInverseLn2 * s.bound_scale;
  r.loss[image] = s.bound == Bound::kOnly ? r.vb[image] : column.weight * r.mse[image] + r.vb[image];
}

}  // namespace pixart::diffusion::kernels
