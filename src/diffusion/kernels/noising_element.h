// The only copy of the formulas, for four elements of one image. C++17, no LibTorch, because nvcc compiles this, too.
#pragma once
#include <math.h>

#include "noising.h"
#include "pixart/base/philox.h"

namespace pixart::diffusion::kernels {

struct Four {
  float values[4];
};

// Two normal numbers by Box-Muller. `sincospi` gives the sine and cosine of pi times its first argument. fill_normal()
// takes those of 2 pi u rounded to double; the last factors turn by that rounding, which matters where one is 0.
template <class SinCosPi>
PIXART_HOST_DEVICE void normal_pair(uint32_t first, uint32_t second, float* out, SinCosPi sin_cos_pi) {
  constexpr double kTwoToMinus32 = 1.0 / 4294967296.0;
  constexpr double kTwoPi = 6.283185307179586477, kRestOfTwoPi = 2.4492935982947064e-16;  // together 2 pi
  const double u = (double(first) + 0.5) * kTwoToMinus32, turn = double(second) * kTwoToMinus32;
  const double angle = kTwoPi * turn;
  const double excess = -(fma(kTwoPi, turn, -angle) + kRestOfTwoPi * turn);  // of the rounded angle
  double sine, cosine;
  sin_cos_pi(2.0 * turn, &sine, &cosine);
  const double radius = sqrt(-2.0 * log(u));
  out[0] = float(radius * (cosine - excess * sine));
  out[1] = float(radius * (sine + excess * cosine));
}

// The numbers 4 * group ... of fill_normal() for this key and stream.
template <class SinCosPi>
PIXART_HOST_DEVICE Four four_normals(uint64_t key, int64_t stream, int64_t group, SinCosPi sin_cos_pi) {
  const PhiloxBlock block = philox_block(key, uint64_t(stream), uint64_t(group));
  Four result;
  normal_pair(block.words[0], block.words[1], result.values, sin_cos_pi);
  normal_pair(block.words[2], block.words[3], result.values + 2, sin_cos_pi);
  return result;
}

PIXART_HOST_DEVICE inline int64_t groups_of(const NoisingSizes& sizes) { return (sizes.per_image + 3) / 4; }
// Of group `group` of an image: 4, or the rest.
PIXART_HOST_DEVICE inline int elements_of(const NoisingSizes& sizes, int64_t group) {
  const int64_t left = sizes.per_image - 4 * group;
  return left < 4 ? int(left) : 4;
}

template <class SinCosPi>
PIXART_HOST_DEVICE void draw_group(const int64_t* positions, float* out, const NoisingSizes& sizes,
                                   int64_t image, int64_t group, SinCosPi sin_cos_pi) {
  const Four drawn = four_normals(sizes.noise_key, positions[image], group, sin_cos_pi);
  float* target = out + image * sizes.per_image + 4 * group;
  const int count = elements_of(sizes, group);
  for (int k = 0; k < 4; ++k)  // a constant number: a GPU keeps the four in registers
    if (k < count) target[k] = drawn.values[k];
}

// `load` and `store` move the group's elements from and to memory.
template <class SinCosPi, class Load, class Store>
PIXART_HOST_DEVICE void noise_group(const NoisingBuffers& b, const NoisingSizes& sizes, int64_t image,
                                    int64_t group, SinCosPi sin_cos_pi, Load load, Store store) {
  const int64_t at = image * sizes.per_image + 4 * group, t = b.t[image];
  const Four posterior = b.given_posterior != nullptr
                             ? load(b.given_posterior + at)
                             : four_normals(sizes.posterior_key, b.positions[image], group, sin_cos_pi);
  const Four noise = b.given_noise != nullptr
                         ? load(b.given_noise + at)
                         : four_normals(sizes.noise_key, b.positions[image], group, sin_cos_pi);
  const Four mean = load(b.mean + at), log_var = load(b.log_var + at);
  const float alpha = b.levels[t], sigma = b.levels[sizes.num_steps + t];
  Four x_start, x_t;
  for (int k = 0; k < 4; ++k) {
    const int64_t element = 4 * group + k < sizes.per_image ? 4 * group + k : 0;
    const uint32_t channel = uint32_t(element) / uint32_t(sizes.per_channel);  // 64-bit division is slow
    const float sample = mean.values[k] + expf(0.5F * log_var.values[k]) * posterior.values[k];
    x_start.values[k] = (sample - b.shift[channel]) * b.scale[channel];
    x_t.values[k] = alpha * x_start.values[k] + sigma * noise.values[k];
  }
  store(b.x_start + at, x_start);
  store(b.x_t + at, x_t);
  if (b.given_noise == nullptr) store(b.noise + at, noise);
  if (group == 0) b.timestep[image] = b.levels[2 * sizes.num_steps + t];
}

}  // namespace pixart::diffusion::kernels
