#include <webp/decode.h>

#include "image_codecs.h"
#include "pixart/base/error.h"

namespace pixart::formats {

Image decode_webp(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  if (WebPGetFeatures(data, bytes.size(), &features) != VP8_STATUS_OK) throw UserError(fmt::format("{}: damaged WebP.", name));
  check_size(features.width, features.height, name, limits);
  if (features.has_animation) throw UserError(fmt::format("{}: an animated WebP; one picture is needed.", name));
  std::vector<uint8_t> rgba(size_t(features.width) * size_t(features.height) * 4);
  if (WebPDecodeRGBAInto(data, bytes.size(), rgba.data(), rgba.size(), features.width * 4) == nullptr) throw UserError(fmt::format("{}: damaged WebP.", name));
  return composite_on_white(rgba.data(), features.width, features.height);
}

}  // namespace pixart::formats
