// Rows of a batch that several conditions have in common. With guidance each latent meets two conditions, and a
// sampler gives all latents one timestep: what depends on the latent or the timestep alone is computed once.
#pragma once
#include <ATen/ATen.h>

#include <algorithm>
#include <vector>

#include "pixart/base/error.h"

namespace pixart::models {

// The timesteps that differ: one if all samples have the same because the tensor repeats it without memory
// (at::Tensor::expand), otherwise [B] as they are.
inline at::Tensor distinct_timesteps(const at::Tensor& timestep) {
  return timestep.stride(0) == 0 ? timestep.narrow(0, 0, 1) : timestep;
}

// x [R, ...] -> [count, ...]; row i is row i mod R. One row is repeated without memory.
inline at::Tensor for_rows(const at::Tensor& x, int64_t count) {
  const int64_t rows = x.size(0);
  if (rows == count) return x;
  PIXART_CHECK(rows > 0 && count % rows == 0, "{} rows for {}", rows, count);
  std::vector<int64_t> shape = x.sizes().vec();
  shape[0] = count;
  if (rows == 1) return x.expand(shape);
  std::fill(shape.begin(), shape.end(), 1);
  shape[0] = count / rows;
  return x.repeat(shape);
}

}  // namespace pixart::models
