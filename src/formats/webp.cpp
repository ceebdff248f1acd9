#include <webp/decode.h>

#include "image_codecs.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

// The EXIF block of an extended file. Its RIFF chunks have a four-letter name, a length, and data padded to
// an even length.
std::string_view exif_of_webp(std::string_view bytes) {
  for (size_t at = 12; at + 8 <= bytes.size();) {
    const size_t length = from_little_endian(bytes, at + 4, 4);
    if (bytes.substr(at, 4) == "EXIF") {
      const std::string_view exif = bytes.substr(at + 8, length);
      return exif.starts_with("Exif") ? exif.substr(std::min<size_t>(6, exif.size())) : exif;
    }
    at += 8 + length + length % 2;
  }
  return {};
}

}  // namespace

Image decode_webp(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  WebPBitstreamFeatures features;
  const VP8StatusCode status = WebPGetFeatures(data, bytes.size(), &features);
  if (status == VP8_STATUS_UNSUPPORTED_FEATURE)
    throw ImageError(ImageFault::kUnsupported, fmt::format("{}: an unsupported kind of WebP.", name));
  if (status != VP8_STATUS_OK) throw ImageError(ImageFault::kDamaged, fmt::format("{}: damaged WebP.", name));
  if (features.has_animation)
    throw ImageError(ImageFault::kUnsupported,
                     fmt::format("{}: an animated WebP; expected one still image.", name));
  check_size(features.width, features.height, name, limits);
  const int width = features.width, height = features.height,
            orientation = orientation_of_exif(exif_of_webp(bytes));
  const auto check = [&](const uint8_t* decoded) {
    if (decoded == nullptr)
      throw ImageError(ImageFault::kDamaged, fmt::format("{}: damaged WebP; it may be cut off.", name));
  };
  if (!features.has_alpha) {
    Image image(height, width);
    check(WebPDecodeRGBInto(data, bytes.size(), image.rgb.data(), image.rgb.size(), width * 3));
    return oriented(std::move(image), orientation);
  }
  std::vector<uint8_t> rgba(size_t(width) * size_t(height) * 4);
  check(WebPDecodeRGBAInto(data, bytes.size(), rgba.data(), rgba.size(), width * 4));
  return oriented(composite_on_white(rgba.data(), width, height), orientation);
}

}  // namespace pixart::formats
