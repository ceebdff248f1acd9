#include <algorithm>
#include <cmath>

#include "chat.h"
#include "pixart/data/transform.h"

namespace pixart::caption {

std::string image_to_send(const Image& image) {
  constexpr int kShort = 400, kLong = 800, kQuality = 90;
  const int shorter = std::min(image.height, image.width), longer = std::max(image.height, image.width);
  const double scale = std::min({1.0, double(kShort) / shorter, double(kLong) / longer});
  if (scale == 1.0) return formats::encode_jpeg(image, kQuality);
  const auto side = [&](int own) { return std::max(1, int(std::lround(own * scale))); };
  return formats::encode_jpeg(data::resize(image, side(image.height), side(image.width)), kQuality);
}

}  // namespace pixart::caption
