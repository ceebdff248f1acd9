#include "clip_pixels.h"

#include <algorithm>
#include <cmath>

#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/data/transform.h"

namespace pixart::score {

namespace {

constexpr float kClipMean[] = {0.48145466F, 0.4578275F, 0.40821073F};
constexpr float kClipDeviation[] = {0.26862954F, 0.26130258F, 0.27577711F};

Image centre_square(const Image& image) {
  const int side = std::min(image.height, image.width);
  const int top = (image.height - side) / 2, left = (image.width - side) / 2;
  Image square(side, side);
  for (int y = 0; y < side; ++y) std::copy_n(image.at(top + y, left), size_t(side) * 3, square.at(y, 0));
  return square;
}

}  // namespace

Image clip_pixels(const Image& image, ClipPixels rule, int side) {
  PIXART_CHECK(image.height > 0 && image.width > 0 && side > 0);
  if (rule == ClipPixels::kSquare) return data::resize(centre_square(image), side, side);
  return data::center_crop(data::resize_short_side(image, side), side, side);
}

namespace {

// a * b / 255, rounded, in Pillow's integers.
uint8_t product(unsigned a, unsigned b) {
  const unsigned c = a * b + 128;
  return uint8_t(((c >> 8) + c) >> 8);
}

}  // namespace

Image clip_crop(const formats::RgbaImage& image, int side) {
  PIXART_CHECK(image.height > 0 && image.width > 0 && side > 0);
  const bool is_resized = std::min(image.height, image.width) != side;
  Image color(image.height, image.width), alpha(image.height, image.width);
  for (size_t i = 0; i < color.rgb.size(); ++i) {
    const uint8_t* pixel = image.rgba.data() + 4 * (i / 3);
    alpha.rgb[i] = pixel[3];
    color.rgb[i] = is_resized ? product(pixel[i % 3], pixel[3]) : pixel[i % 3];
  }
  if (!is_resized) return data::center_crop(color, side, side);
  color = data::resize_short_side(color, side);
  alpha = data::resize_short_side(alpha, side);
  for (size_t i = 0; i < color.rgb.size(); ++i)
    if (const unsigned opaque = alpha.rgb[i]; opaque != 0)
      color.rgb[i] = uint8_t(std::min(255U, 255U * color.rgb[i] / opaque));
  return data::center_crop(color, side, side);
}

Image clip_crop(const std::filesystem::path& file, int side) {
  const std::string bytes = read_file(file, formats::DecodeLimits{}.file_bytes);
  if (formats::image_ending(bytes) == "png")
    return clip_crop(formats::decode_png_with_alpha(bytes, file.string()), side);
  return clip_pixels(formats::decode_image(bytes, file.string()), ClipPixels::kCrop, side);
}

namespace {

float normalized(float value, size_t channel) {
  return (value - kClipMean[channel]) / kClipDeviation[channel];
}

}  // namespace

std::vector<float> clip_input(const Image& pixels) {
  const size_t area = size_t(pixels.height) * size_t(pixels.width);
  std::vector<float> planes(3 * area);
  for (size_t i = 0; i < area; ++i)
    for (size_t c = 0; c < 3; ++c)
      planes[c * area + i] = normalized(float(pixels.rgb[3 * i + c]) / 255.0F, c);
  return planes;
}

std::vector<float> hpsv2_input(const Image& image, int side) {
  PIXART_CHECK(image.height > 0 && image.width > 0 && side > 0);
  const double scale = double(side) / std::max(image.height, image.width);
  const auto scaled = [&](int own) { return std::max(1, int(std::nearbyint(own * scale))); };
  const int height = scaled(image.height), width = scaled(image.width);
  const auto values = data::resize_unrounded(image, height, width, data::Filter::kBicubic);
  const int top = (side - height) / 2, left = (side - width) / 2;
  std::vector<float> planes;
  planes.reserve(size_t(3) * size_t(side) * size_t(side));
  for (size_t c = 0; c < 3; ++c)
    for (int y = -top; y < side - top; ++y)
      for (int x = -left; x < side - left; ++x) {
        const bool is_inside = y >= 0 && y < height && x >= 0 && x < width;
        const size_t place = (c * size_t(height) + size_t(y)) * size_t(width) + size_t(x);
        planes.push_back(normalized(is_inside ? values[place] / 255.0F : 0.0F, c));
      }
  return planes;
}

}  // namespace pixart::score
