#include "resample.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <numbers>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "pixart/base/error.h"

namespace pixart::data {

namespace {

constexpr int kPrecisionBits = 22;
constexpr int kHalf = 1 << (kPrecisionBits - 1);

double bicubic(double x) {
  constexpr double a = -0.5;
  x = std::abs(x);
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  if (x < 2) return (((x - 5) * x + 8) * x - 4) * a;
  return 0;
}

double triangle(double x) { return std::max(0.0, 1.0 - std::abs(x)); }

double sinc(double x) {
  x *= std::numbers::pi;
  return x == 0 ? 1 : std::sin(x) / x;
}

double lanczos(double x) { return std::abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0; }

struct Kernel {
  double (*weight)(double distance);
  double support;  // the weight is 0 at this distance and beyond
};

Kernel kernel_of(Filter filter) {
  switch (filter) {
    case Filter::kBilinear:
      return {triangle, 1};
    case Filter::kBicubic:
      return {bicubic, 2};
    case Filter::kLanczos:
      return {lanczos, 3};
  }
  return {};
}

// The weights of the input pixels of one output pixel; their sum is 1.
struct Weights {
  int first = 0;
  std::vector<double> values;
};

// The weights of the pixels [begin, end) of `out` output pixels. The `in` input pixels cover `extent`.
std::vector<Weights> make_weights(int in, double extent, int out, int begin, int end, Filter filter) {
  const Kernel kernel = kernel_of(filter);
  const double scale = extent / out, filter_scale = std::max(1.0, scale);
  const double support = kernel.support * filter_scale;
  std::vector<Weights> all(size_t(end - begin));
  for (int i = begin; i < end; ++i) {
    const double center = (i + 0.5) * scale;
    const int first = std::max(0, int(center - support + 0.5)),
              last = std::min(in, int(center + support + 0.5));
    auto& [own_first, values] = all[size_t(i - begin)];
    own_first = first;
    double sum = 0;
    for (int x = first; x < last; ++x) {
      values.push_back(kernel.weight((x - center + 0.5) * (1.0 / filter_scale)));
      sum += values.back();
    }
    for (double& value : values) value /= sum != 0 ? sum : 1;
  }
  return all;
}

// Taps of one output pixel: first input pixel and fixed-point weights.
struct Taps {
  int first = 0;
  std::vector<int> weights;
  int end() const { return first + int(weights.size()); }
};

std::vector<Taps> make_taps(int in, double extent, int out, int begin, int end, Filter filter) {
  std::vector<Taps> all;
  for (const auto& [first, values] : make_weights(in, extent, out, begin, end, filter)) {
    Taps taps{.first = first, .weights = {}};
    for (const double value : values) {
      const double fixed = value * (1 << kPrecisionBits);
      taps.weights.push_back(int(fixed < 0 ? fixed - 0.5 : fixed + 0.5));
    }
    all.push_back(std::move(taps));
  }
  return all;
}

uint8_t to_byte(int sum) { return uint8_t(std::clamp(sum >> kPrecisionBits, 0, 255)); }

#ifdef __SSE2__
// The processor multiplies pairs of 16-bit values and adds them. So a weight of 24 bits is cut into two
// parts, and the sums of both parts are combined at the end.
constexpr int kLowBits = 11;

// Pairs of weights in the instruction's form; an odd last weight is paired with 0.
struct WeightPairs {
  std::vector<std::array<int32_t, 2>> pairs;  // {low, high}, each of two 16-bit values

  explicit WeightPairs(const std::vector<int>& weights) {
    for (size_t k = 0; k < weights.size(); k += 2) {
      const int first = weights[k], second = k + 1 < weights.size() ? weights[k + 1] : 0;
      pairs.push_back(
          {pack(first & kLowMask, second & kLowMask), pack(first >> kLowBits, second >> kLowBits)});
    }
  }
  ptrdiff_t bytes_read() const { return ptrdiff_t(pairs.size()) * 6 + 1; }  // with three channels

 private:
  static constexpr int kLowMask = (1 << kLowBits) - 1;
  static int32_t pack(int first, int second) {
    return int32_t(uint32_t(first & 0xFFFF) | uint32_t(second) << 16);
  }
};

// The sums of four output values.
struct Sums {
  __m128i low = _mm_set1_epi32(kHalf), high = _mm_setzero_si128();

  // `pairs`: eight 16-bit values, for each of the four output values the inputs of both taps.
  void add(__m128i pairs, __m128i low_weights, __m128i high_weights) {
    low = _mm_add_epi32(low, _mm_madd_epi16(pairs, low_weights));
    high = _mm_add_epi32(high, _mm_madd_epi16(pairs, high_weights));
  }
  __m128i shifted() const {
    return _mm_srai_epi32(_mm_add_epi32(low, _mm_slli_epi32(high, kLowBits)), kPrecisionBits);
  }
};

__m128i load_4(const uint8_t* from) {
  int32_t value = 0;
  std::memcpy(&value, from, 4);
  return _mm_cvtsi32_si128(value);
}

// Reads one byte more than the taps need, and with an odd number of taps one pixel more: see bytes_read().
void add_pixels(const uint8_t* in, const WeightPairs& weights, uint8_t* out) {
  Sums sums;
  for (const auto& [low, high] : weights.pairs) {
    const __m128i bytes = _mm_unpacklo_epi8(load_4(in), load_4(in + 3));
    sums.add(_mm_unpacklo_epi8(bytes, _mm_setzero_si128()), _mm_set1_epi32(low), _mm_set1_epi32(high));
    in += 6;
  }
  const __m128i words = _mm_packs_epi32(sums.shifted(), _mm_setzero_si128());
  const int32_t bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words));
  std::memcpy(out, &bytes, 3);
}
#endif

// The same, pixel by pixel.
void add_pixels(const uint8_t* in, const std::vector<int>& weights, uint8_t* out) {
  int sums[3] = {kHalf, kHalf, kHalf};
  for (const int weight : weights)
    for (int& sum : sums) sum += weight * *in++;
  for (int c = 0; c < 3; ++c) out[c] = to_byte(sums[c]);
}

// Rows [first, end) of the image, resized along the row.
Image resample_rows(const Image& image, int first, int end, const std::vector<Taps>& taps) {
  Image result(end - first, int(taps.size()));
#ifdef __SSE2__
  std::vector<WeightPairs> pairs;
  for (const Taps& tap : taps) pairs.emplace_back(tap.weights);
  const uint8_t* image_end = image.rgb.data() + image.rgb.size();
#endif
  for (int y = first; y < end; ++y) {
    uint8_t* out = result.at(y - first, 0);
    for (size_t x = 0; x < taps.size(); ++x, out += 3) {
      const uint8_t* in = image.at(y, taps[x].first);
#ifdef __SSE2__
      if (image_end - in >= pairs[x].bytes_read()) {  // always true except in the last row
        add_pixels(in, pairs[x], out);
        continue;
      }
#endif
      add_pixels(in, taps[x].weights, out);
    }
  }
  return result;
}

// `image` starts with row `first` of the image to which the taps refer.
Image resample_columns(const Image& image, int first, const std::vector<Taps>& taps) {
  Image result(int(taps.size()), image.width);
  const size_t row_bytes = size_t(image.width) * 3;
  for (size_t y = 0; y < taps.size(); ++y) {
    const std::vector<int>& weights = taps[y].weights;
    const uint8_t* in = image.at(taps[y].first - first, 0);
    uint8_t* out = result.at(int(y), 0);
    size_t i = 0;
#ifdef __SSE2__
    const WeightPairs pairs(weights);
    const __m128i zero = _mm_setzero_si128();
    for (; i + 8 <= row_bytes; i += 8) {
      Sums left, right;
      for (size_t k = 0; k < pairs.pairs.size(); ++k) {
        const uint8_t* row = in + 2 * k * row_bytes + i;
        const bool is_pair = 2 * k + 1 < weights.size();
        const __m128i first_row = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row)),
                      second_row =
                          is_pair ? _mm_loadl_epi64(reinterpret_cast<const __m128i*>(row + row_bytes)) : zero;
        const __m128i bytes = _mm_unpacklo_epi8(first_row, second_row);
        const __m128i low = _mm_set1_epi32(pairs.pairs[k][0]), high = _mm_set1_epi32(pairs.pairs[k][1]);
        left.add(_mm_unpacklo_epi8(bytes, zero), low, high);
        right.add(_mm_unpackhi_epi8(bytes, zero), low, high);
      }
      const __m128i words = _mm_packs_epi32(left.shifted(), right.shifted());
      _mm_storel_epi64(reinterpret_cast<__m128i*>(out + i), _mm_packus_epi16(words, words));
    }
#endif
    for (; i < row_bytes; ++i) {
      int sum = kHalf;
      for (size_t k = 0; k < weights.size(); ++k) sum += weights[k] * in[k * row_bytes + i];
      out[i] = to_byte(sum);
    }
  }
  return result;
}

}  // namespace

Image resample(const Image& image, const Extent& extent, int height, int width, const Window& window,
               Filter filter) {
  PIXART_CHECK(window.top >= 0 && window.left >= 0 && window.height > 0 && window.width > 0 &&
               window.top + window.height <= height && window.left + window.width <= width);
  const auto columns =
      make_taps(image.width, extent.width, width, window.left, window.left + window.width, filter);
  const auto rows =
      make_taps(image.height, extent.height, height, window.top, window.top + window.height, filter);
  const int first = rows.front().first;
  int end = first;
  for (const Taps& taps : rows) end = std::max(end, taps.end());
  return resample_columns(resample_rows(image, first, end, columns), first, rows);
}

namespace {

// [3, rows of the image, weights.size()]: each row resized.
std::vector<float> resize_rows(const Image& image, const std::vector<Weights>& weights) {
  const size_t width = weights.size(), area = size_t(image.height) * width;
  std::vector<float> planes(3 * area);
  for (int y = 0; y < image.height; ++y) {
    for (size_t x = 0; x < width; ++x) {
      double sums[3] = {0, 0, 0};
      const uint8_t* in = image.at(y, weights[x].first);
      for (const double weight : weights[x].values)
        for (double& sum : sums) sum += weight * *in++;
      for (size_t c = 0; c < 3; ++c) planes[c * area + size_t(y) * width + x] = float(sums[c]);
    }
  }
  return planes;
}

}  // namespace

std::vector<float> resize_unrounded(const Image& image, int height, int width, Filter filter) {
  PIXART_CHECK(height > 0 && width > 0 && image.height > 0 && image.width > 0);
  const auto rows = resize_rows(image, make_weights(image.width, image.width, width, 0, width, filter));
  const auto weights = make_weights(image.height, image.height, height, 0, height, filter);
  std::vector<float> result(3 * size_t(height) * size_t(width));
  std::vector<double> sums(static_cast<size_t>(width));
  for (size_t c = 0; c < 3; ++c) {
    for (size_t y = 0; y < size_t(height); ++y) {
      std::fill(sums.begin(), sums.end(), 0.0);
      const float* in = rows.data() + (c * size_t(image.height) + size_t(weights[y].first)) * size_t(width);
      for (const double weight : weights[y].values)
        for (double& sum : sums) sum += weight * double(*in++);
      float* out = result.data() + (c * size_t(height) + y) * size_t(width);
      std::transform(sums.begin(), sums.end(), out, [](double sum) { return float(sum); });
    }
  }
  return result;
}

}  // namespace pixart::data
