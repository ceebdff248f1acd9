#include "resize.h"

#include <algorithm>
#include <cmath>

#include "inception.h"
#include "pixart/base/error.h"
#include "pixart/data/transform.h"

namespace pixart::score {

namespace {

// Two neighbours of an output pixel along one axis.
struct Pair {
  int low = 0, high = 0;
  float weight = 0;  // of the high one
};

// Half-pixel centres: output pixel i is at (i + 0.5) * scale - 0.5, at least 0. Otherwise at i * scale.
std::vector<Pair> pairs(int in, int out, bool has_half_pixels) {
  const float scale = float(in) / float(out);
  std::vector<Pair> all;
  for (int i = 0; i < out; ++i) {
    const float at = has_half_pixels ? std::max(0.0F, (float(i) + 0.5F) * scale - 0.5F) : float(i) * scale;
    const int low = std::min(int(at), in - 1);
    all.push_back({.low = low, .high = std::min(low + 1, in - 1), .weight = at - float(low)});
  }
  return all;
}

std::vector<float> bilinear(const Image& image, bool has_half_pixels) {
  constexpr size_t kSide = kInceptionSide, kArea = kSide * kSide;
  const auto rows = pairs(image.height, kInceptionSide, has_half_pixels);
  const auto columns = pairs(image.width, kInceptionSide, has_half_pixels);
  std::vector<float> planes(3 * kArea);
  for (size_t y = 0; y < kSide; ++y) {
    for (size_t x = 0; x < kSide; ++x) {
      const uint8_t *low_left = image.at(rows[y].low, columns[x].low),
                    *low_right = image.at(rows[y].low, columns[x].high),
                    *high_left = image.at(rows[y].high, columns[x].low),
                    *high_right = image.at(rows[y].high, columns[x].high);
      for (size_t c = 0; c < 3; ++c) {
        const float low = low_left[c] + float(low_right[c] - low_left[c]) * columns[x].weight;
        const float high = high_left[c] + float(high_right[c] - high_left[c]) * columns[x].weight;
        planes[c * kArea + y * kSide + x] = low + (high - low) * rows[y].weight;
      }
    }
  }
  return planes;
}

}  // namespace

std::vector<float> resized(const Image& image, ResizeRule rule) {
  PIXART_CHECK(image.height > 0 && image.width > 0);
  if (rule == ResizeRule::kPytorch) return bilinear(image, /*has_half_pixels=*/true);
  if (rule == ResizeRule::kTensorflow) return bilinear(image, /*has_half_pixels=*/false);
  auto planes = data::resize_unrounded(image, kInceptionSide, kInceptionSide, data::Filter::kBicubic);
  for (float& value : planes) value = std::clamp(value, 0.0F, 255.0F);
  return planes;
}

void scale_for_network(std::vector<float>& values, ResizeRule rule) {
  if (rule == ResizeRule::kPytorch)
    for (float& value : values) value = value / 255.0F * 2.0F - 1.0F;
  else
    for (float& value : values) value = (value - 128.0F) / 128.0F;
}

}  // namespace pixart::score
