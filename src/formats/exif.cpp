#include <utility>

#include "image_codecs.h"

namespace pixart::formats {

namespace {

// A TIFF block inside an APP1 segment; reads beyond its end give 0.
struct Tiff {
  std::string_view bytes;
  bool big_endian;
  uint32_t read(size_t at, int count) const {
    uint32_t value = 0;
    for (int i = 0; i < count; ++i) {
      const size_t index = at + size_t(big_endian ? i : count - 1 - i);
      value = value << 8 | (index < bytes.size() ? uint8_t(bytes[index]) : 0u);
    }
    return value;
  }
};

int orientation_of(const Tiff& tiff) {
  constexpr uint32_t kOrientation = 0x0112;
  const size_t directory = tiff.read(4, 4);
  const uint32_t entries = tiff.read(directory, 2);
  for (size_t i = 0; i < entries && directory + 2 + 12 * i + 12 <= tiff.bytes.size(); ++i) {
    const size_t entry = directory + 2 + 12 * i;
    if (tiff.read(entry, 2) != kOrientation) continue;
    const uint32_t value = tiff.read(entry + 8, 2);
    return value >= 1 && value <= 8 ? int(value) : 1;
  }
  return 1;
}

}  // namespace

int exif_orientation(std::string_view jpeg) {
  const auto byte = [&](size_t i) { return i < jpeg.size() ? uint8_t(jpeg[i]) : 0u; };
  size_t at = 2;
  while (at + 4 <= jpeg.size() && byte(at) == 0xFF && byte(at + 1) != 0xDA) {
    const size_t length = byte(at + 2) << 8 | byte(at + 3);
    const std::string_view segment = jpeg.substr(at + 4, length < 2 ? 0 : length - 2);
    if (byte(at + 1) == 0xE1 && segment.starts_with(std::string_view("Exif\0\0", 6))) {
      const std::string_view tiff = segment.substr(6);
      if (tiff.starts_with("II") || tiff.starts_with("MM")) return orientation_of({tiff, tiff.starts_with("MM")});
      return 1;
    }
    at += 2 + length;
    if (length < 2) break;
  }
  return 1;
}

Image oriented(const Image& image, int orientation) {
  if (orientation <= 1 || orientation > 8) return image;
  const bool swaps = orientation >= 5;
  Image turned(swaps ? image.width : image.height, swaps ? image.height : image.width);
  const int last_x = image.width - 1, last_y = image.height - 1;
  for (int y = 0; y < turned.height; ++y) {
    for (int x = 0; x < turned.width; ++x) {
      const std::pair<int, int> from[] = {{y, x}, {y, last_x - x}, {last_y - y, last_x - x}, {last_y - y, x}, {x, y}, {last_y - x, y}, {last_y - x, last_x - y}, {x, last_x - y}};
      const auto [source_y, source_x] = from[orientation - 1];
      for (int c = 0; c < 3; ++c) turned.at(y, x)[c] = image.at(source_y, source_x)[c];
    }
  }
  return turned;
}

}  // namespace pixart::formats
