#include <algorithm>
#include <cmath>

#include "chat.h"
#include "pixart/data/transform.h"

namespace pixart::caption {

std::string image_to_send(const Image& image, const SentImage& form) {
  const int shorter = std::min(image.height, image.width), longer = std::max(image.height, image.width);
  const double scale = std::min({1.0, double(form.shorter) / shorter, double(form.longer) / longer});
  if (scale == 1.0) return formats::encode_jpeg(image, form.quality);
  const auto side = [&](int own) { return std::max(1, int(std::lround(own * scale))); };
  return formats::encode_jpeg(data::resize(image, side(image.height), side(image.width)), form.quality);
}

}  // namespace pixart::caption
