// Weights of FID's Inception, images and features by formulas: what tests/golden/generate/formula_inception.py
// computes, bit for bit.
#pragma once
#include <ATen/ATen.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/formats/image_file.h"

namespace pixart::testing {

inline uint64_t hash64(std::string_view text) {  // FNV-1a
  uint64_t value = 0xCBF29CE484222325;
  for (const char byte : text) value = (value ^ uint8_t(byte)) * 0x100000001B3;
  return value;
}

// SplitMix64 from the hash of a name, the index-th number.
inline uint64_t mixed(uint64_t hash, uint64_t index) {
  uint64_t z = (index + 1) * 0x9E3779B97F4A7C15 + hash;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

// Sums of four 16-bit numbers: mean 0, variance 1.
inline double nearly_normal(uint64_t hash, uint64_t index) {
  static const double kScale = std::sqrt(3.0);
  const uint64_t z = mixed(hash, index);
  const auto sum = int64_t((z & 0xFFFF) + ((z >> 16) & 0xFFFF) + ((z >> 32) & 0xFFFF) + (z >> 48));
  return double(sum - 131070) / 65536.0 * kScale;
}

inline at::Tensor formula_values(const std::string& name, at::IntArrayRef shape) {
  at::Tensor values = at::empty(shape, at::kDouble);
  auto* out = values.data_ptr<double>();
  const uint64_t hash = hash64(name);
  for (int64_t i = 0, n = values.numel(); i < n; ++i) out[i] = nearly_normal(hash, uint64_t(i));
  return values;
}

inline at::Tensor formula_weight(const std::string& name, at::IntArrayRef shape) {
  constexpr double kGain = 2.7;
  const at::Tensor x = formula_values(name, shape);
  if (name.ends_with("conv.weight")) {
    const at::Tensor rows = x.reshape({shape[0], -1});
    return ((rows - rows.mean(1, true)) * std::sqrt(kGain / double(rows.size(1))))
        .reshape(shape)
        .to(at::kFloat);
  }
  if (name == "fc.weight") return (x * std::sqrt(2 / double(shape[1]))).to(at::kFloat);
  const bool is_near_one = name.ends_with("bn.weight") || name.ends_with("running_var");
  return (is_near_one ? 1 + 0.05 * x : 0.1 * x).to(at::kFloat);
}

inline std::map<std::string, at::Tensor> formula_weights(
    const std::map<std::string, std::vector<int64_t>>& shapes) {
  std::map<std::string, at::Tensor> weights;
  for (const auto& [name, shape] : shapes) weights[name] = formula_weight(name, shape);
  return weights;
}

// Waves of another direction in each channel, and grain.
inline Image formula_image(const std::string& name, int height, int width) {
  Image image(height, width);
  const uint64_t hash = hash64(name);
  const int kind = int(hash % 7);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) {
        const int phase = (x * (3 + kind + 2 * c) + y * (9 - kind + c) + 97 * c) % 512;
        const int grain =
            int(mixed(hash, (uint64_t(y) * uint64_t(width) + uint64_t(x)) * 3 + uint64_t(c)) & 63);
        image.at(y, x)[c] = uint8_t(std::min(255, std::abs(phase - 256) * 3 / 4 + grain));
      }
  return image;
}

// [count, size] float32, not negative, with another mean in each column.
inline at::Tensor formula_features(const std::string& name, int64_t count, int64_t size, double gain = 1,
                                   double shift = 0) {
  const at::Tensor mean = 0.3 + 0.2 * formula_values("means", {size});
  const at::Tensor values = gain * (mean + 0.3 * formula_values(name, {count, size})) + shift;
  return values.clamp_min(0).to(at::kFloat);
}

}  // namespace pixart::testing
