// Random numbers that depend on a seed, the position of a sample and a purpose only.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "pixart/base/random.h"

namespace pixart::train {

// [B, shape] float32 normal numbers, a row for each position.
at::Tensor batch_normal(uint64_t seed, const std::vector<int64_t>& positions, Purpose purpose,
                        at::IntArrayRef shape);

}  // namespace pixart::train
