#include "clip_pixels.h"

#include <algorithm>

#include "pixart/base/error.h"
#include "pixart/data/transform.h"

namespace pixart::score {

namespace {

constexpr float kMean[] = {0.48145466F, 0.4578275F, 0.40821073F};
constexpr float kDeviation[] = {0.26862954F, 0.26130258F, 0.27577711F};

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

std::vector<float> clip_input(const Image& pixels) {
  const size_t area = size_t(pixels.height) * size_t(pixels.width);
  std::vector<float> planes(3 * area);
  for (size_t i = 0; i < area; ++i)
    for (size_t c = 0; c < 3; ++c)
      planes[c * area + i] = (float(pixels.rgb[3 * i + c]) / 255.0F - kMean[c]) / kDeviation[c];
  return planes;
}

}  // namespace pixart::score
