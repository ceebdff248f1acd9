// Pillow's resampling in its fixed-point arithmetic: along rows first, then along columns; and crops.
#include <algorithm>
#include <cmath>

#include "pixart/base/error.h"
#include "pixart/data/transform.h"

namespace pixart::data {

namespace {

constexpr int kPrecisionBits = 22;
constexpr int64_t kMostPixels = int64_t{1} << 28;  // of a resized picture

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

double triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

// Taps of one output pixel: first input and fixed-point weights.
struct Taps {
  int first = 0;
  std::vector<int> weights;
};

std::vector<Taps> make_taps(int in, int out, Filter filter) {
  const double scale = double(in) / out, filter_scale = std::max(1.0, scale);
  const double support = (filter == Filter::kBicubic ? 2.0 : 1.0) * filter_scale;
  std::vector<Taps> all(static_cast<size_t>(out));
  for (int i = 0; i < out; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, int(center - support + 0.5)),
              last = std::min(in, int(center + support + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int x = first; x < last; ++x) {
      const double at = (x - center + 0.5) * (1.0 / filter_scale);
      weights.push_back(filter == Filter::kBicubic ? bicubic(at) : triangle(at));
      sum += weights.back();
    }
    all[size_t(i)].first = first;
    for (double weight : weights) {
      const double fixed = weight / (sum != 0 ? sum : 1) * (1 << kPrecisionBits);
      all[size_t(i)].weights.push_back(int(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
  }
  return all;
}

constexpr int kHalf = 1 << (kPrecisionBits - 1);

uint8_t to_byte(int sum) { return uint8_t(std::clamp(sum >> kPrecisionBits, 0, 255)); }

Image resize_rows(const Image& image, int width, Filter filter) {
  const auto taps = make_taps(image.width, width, filter);
  Image result(image.height, width);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < width; ++x) {
      const Taps& tap = taps[size_t(x)];
      const uint8_t* in = image.at(y, tap.first);
      int sums[3] = {kHalf, kHalf, kHalf};
      for (const int weight : tap.weights)
        for (int& sum : sums) sum += weight * *in++;
      for (int c = 0; c < 3; ++c) result.at(y, x)[c] = to_byte(sums[c]);
    }
  return result;
}

Image resize_columns(const Image& image, int height, Filter filter) {
  const auto taps = make_taps(image.height, height, filter);
  Image result(height, image.width);
  std::vector<int> sums(size_t(image.width) * 3);
  for (int y = 0; y < height; ++y) {
    const Taps& tap = taps[size_t(y)];
    std::fill(sums.begin(), sums.end(), kHalf);
    for (size_t k = 0; k < tap.weights.size(); ++k) {
      const uint8_t* in = image.at(tap.first + int(k), 0);
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += tap.weights[k] * in[i];
    }
    std::transform(sums.begin(), sums.end(), result.at(y, 0), to_byte);
  }
  return result;
}

// int(side * target / own), as the official loaders round.
int in_proportion(int side, int target, int own) {
  return int(std::min<int64_t>(int64_t(side) * target / own, 1 << 30));
}

}  // namespace

Image resize(const Image& image, int height, int width, Filter filter) {
  PIXART_CHECK(height > 0 && width > 0 && image.height > 0 && image.width > 0);
  if (int64_t(height) * width > kMostPixels || int64_t(image.height) * width > kMostPixels)
    throw UserError(fmt::format("a picture of {} x {} pixels would grow to {} x {}: it is too long and thin.",
                                image.width, image.height, width, height));
  return resize_columns(resize_rows(image, width, filter), height, filter);
}

Image center_crop(const Image& image, int height, int width) {
  PIXART_CHECK(height > 0 && width > 0 && height <= image.height && width <= image.width,
               "crop {} x {} of {} x {}", width, height, image.width, image.height);
  const int top = int(std::nearbyint((image.height - height) / 2.0)),
            left = int(std::nearbyint((image.width - width) / 2.0));  // half to even
  Image result(height, width);
  for (int y = 0; y < height; ++y) std::copy_n(image.at(top + y, left), size_t(width) * 3, result.at(y, 0));
  return result;
}

Image resize_short_side(const Image& image, int size, Filter filter) {
  PIXART_CHECK(image.height > 0 && image.width > 0);
  if (image.height <= image.width)
    return resize(image, size, in_proportion(image.width, size, image.height), filter);
  return resize(image, in_proportion(image.height, size, image.width), size, filter);
}

std::pair<int, int> cover_size(int own_height, int own_width, int height, int width) {
  PIXART_CHECK(own_height > 0 && own_width > 0);
  const bool height_binds = int64_t(height) * own_width > int64_t(width) * own_height;
  if (height_binds) return {height, in_proportion(own_width, height, own_height)};
  return {in_proportion(own_height, width, own_width), width};
}

Image resize_to_cover(const Image& image, int height, int width, Filter filter) {
  const auto [cover_height, cover_width] = cover_size(image.height, image.width, height, width);
  return resize(image, cover_height, cover_width, filter);
}

Image resize_and_crop(const Image& image, int size, Filter filter) {
  return center_crop(resize_short_side(image, size, filter), size, size);
}

}  // namespace pixart::data
