// Pillow's resampling in its fixed-point arithmetic: along rows first, then along columns.
#include <algorithm>
#include <cmath>

#include "pixart/base/error.h"
#include "pixart/data/transform.h"

namespace pixart::data {

namespace {

constexpr int kPrecisionBits = 22;

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
    const int first = std::max(0, int(center - support + 0.5)), last = std::min(in, int(center + support + 0.5));
    std::vector<double> weights;
    double sum = 0;
    for (int x = first; x < last; ++x) {
      const double at = (x - center + 0.5) / filter_scale;
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

// One output channel value from pixels `stride` bytes apart.
uint8_t apply(const Taps& taps, const uint8_t* first, size_t stride) {
  int64_t sum = int64_t{1} << (kPrecisionBits - 1);
  for (size_t k = 0; k < taps.weights.size(); ++k) sum += int64_t(taps.weights[k]) * first[k * stride];
  return uint8_t(std::clamp<int64_t>(sum >> kPrecisionBits, 0, 255));
}

}  // namespace

Image resize(const Image& image, int height, int width, Filter filter) {
  PIXART_CHECK(height > 0 && width > 0 && image.height > 0 && image.width > 0);
  const auto across = make_taps(image.width, width, filter), down = make_taps(image.height, height, filter);
  Image rows(image.height, width), result(height, width);
  for (int y = 0; y < image.height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) rows.at(y, x)[c] = apply(across[size_t(x)], image.at(y, across[size_t(x)].first) + c, 3);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) result.at(y, x)[c] = apply(down[size_t(y)], rows.at(down[size_t(y)].first, x) + c, size_t(width) * 3);
  return result;
}

Image center_crop(const Image& image, int height, int width) {
  PIXART_CHECK(height <= image.height && width <= image.width, "crop {} x {} of {} x {}", width, height, image.width, image.height);
  const int top = int(std::nearbyint((image.height - height) / 2.0)), left = int(std::nearbyint((image.width - width) / 2.0));  // half to even
  Image result(height, width);
  for (int y = 0; y < height; ++y) std::copy_n(image.at(top + y, left), size_t(width) * 3, result.at(y, 0));
  return result;
}

Image resize_short_side(const Image& image, int size, Filter filter) {
  const int shorter = std::min(image.height, image.width), longer = std::max(image.height, image.width);
  const int other = int(int64_t(size) * longer / shorter);
  return image.height <= image.width ? resize(image, size, other, filter) : resize(image, other, size, filter);
}

Image resize_and_crop(const Image& image, int size, Filter filter) { return center_crop(resize_short_side(image, size, filter), size, size); }

}  // namespace pixart::data
