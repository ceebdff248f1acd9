#include <array>

#include "image_codecs.h"

namespace pixart::formats {

namespace {

// Reading beyond the end gives 0.
uint32_t number(std::string_view bytes, size_t at, int count, bool big_endian) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) {
    const size_t index = at + size_t(big_endian ? i : count - 1 - i);
    value = value << 8 | (index < bytes.size() ? uint8_t(bytes[index]) : 0u);
  }
  return value;
}

}  // namespace

int orientation_of_exif(std::string_view tiff) {
  constexpr uint32_t kOrientation = 0x0112;
  constexpr size_t kEntryBytes = 12;
  if (!tiff.starts_with("II") && !tiff.starts_with("MM")) return 1;
  const bool big_endian = tiff.starts_with("MM");
  const size_t directory = number(tiff, 4, 4, big_endian);
  const uint32_t entries = number(tiff, directory, 2, big_endian);
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + kEntryBytes * i;
    if (entry + kEntryBytes > tiff.size()) return 1;
    if (number(tiff, entry, 2, big_endian) != kOrientation) continue;
    const uint32_t value = number(tiff, entry + 8, 2, big_endian);
    return value >= 1 && value <= 8 ? int(value) : 1;
  }
  return 1;
}

int orientation_of_jpeg(std::string_view jpeg) {
  constexpr uint32_t kApp1 = 0xE1, kStartOfScan = 0xDA, kFill = 0xFF;
  constexpr std::string_view kExif("Exif\0\0", 6);
  const auto byte = [&](size_t i) { return number(jpeg, i, 1, true); };
  size_t at = 2;
  while (at + 4 <= jpeg.size() && byte(at) == 0xFF && byte(at + 1) != kStartOfScan) {
    if (byte(at + 1) == kFill) {
      ++at;
      continue;
    }
    const size_t length = number(jpeg, at + 2, 2, true);
    if (length < 2) return 1;
    const std::string_view segment = jpeg.substr(at + 4, length - 2);
    if (byte(at + 1) == kApp1 && segment.starts_with(kExif))
      return orientation_of_exif(segment.substr(kExif.size()));
    at += 2 + length;
  }
  return 1;
}

Image oriented(Image image, int orientation) {
  // The directions of the stored rows and columns in the upright image.
  struct Turn {
    bool swaps, from_right, from_bottom;
  };
  constexpr std::array<Turn, 9> kTurns = {{{},
                                           {},
                                           {false, true, false},
                                           {false, true, true},
                                           {false, false, true},
                                           {true, false, false},
                                           {true, false, true},
                                           {true, true, true},
                                           {true, true, false}}};
  const Turn turn = kTurns.at(size_t(orientation));
  if (!turn.swaps && !turn.from_right && !turn.from_bottom) return image;
  Image upright(turn.swaps ? image.width : image.height, turn.swaps ? image.height : image.width);
  for (int y = 0; y < upright.height; ++y) {
    for (int x = 0; x < upright.width; ++x) {
      const int across = turn.swaps ? y : x, down = turn.swaps ? x : y;
      const uint8_t* from = image.at(turn.from_bottom ? image.height - 1 - down : down,
                                     turn.from_right ? image.width - 1 - across : across);
      std::copy(from, from + 3, upright.at(y, x));
    }
  }
  return upright;
}

}  // namespace pixart::formats
