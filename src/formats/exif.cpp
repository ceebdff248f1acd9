#include <algorithm>
#include <array>

#include "image_codecs.h"

namespace pixart::formats {

namespace {

// Reading beyond the end gives 0.
uint32_t number(std::string_view bytes, size_t at, size_t count, bool big_endian) {
  uint32_t value = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t index = at + (big_endian ? i : count - 1 - i);
    value = value << 8 | (index < bytes.size() ? uint8_t(bytes[index]) : 0u);
  }
  return value;
}

// The first value of an entry whose type is a whole number; 0 for other types. More than four bytes of values
// are elsewhere in the block.
uint32_t value_of(std::string_view tiff, size_t entry, bool big_endian) {
  constexpr uint32_t kShort = 3, kLong = 4, kSignedByte = 6, kSignedShort = 8, kSignedLong = 9,
                     kDirectory = 13;
  const uint32_t type = number(tiff, entry + 2, 2, big_endian),
                 count = number(tiff, entry + 4, 4, big_endian);
  const size_t size = type == kShort || type == kSignedShort                       ? 2
                      : type == kSignedByte                                        ? 1
                      : type == kLong || type == kSignedLong || type == kDirectory ? 4
                                                                                   : 0;
  const bool is_inside = count <= 4 / std::max<size_t>(size, 1);
  return number(tiff, is_inside ? entry + 8 : number(tiff, entry + 8, 4, big_endian), size, big_endian);
}

uint32_t orientation_in_xmp(std::string_view xmp) {
  constexpr std::string_view kName = "tiff:Orientation";
  for (size_t at = xmp.find(kName); at != std::string_view::npos; at = xmp.find(kName, at + 1)) {
    std::string_view rest = xmp.substr(at + kName.size());
    if (rest.starts_with("=\""))
      rest.remove_prefix(2);
    else if (rest.starts_with(">"))
      rest.remove_prefix(1);
    else
      continue;
    if (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') return uint32_t(rest[0] - '0');
  }
  return 1;
}

}  // namespace

std::optional<uint32_t> tiff_value(std::string_view tiff, uint32_t tag) {
  constexpr size_t kEntryBytes = 12;
  if (!tiff.starts_with("II") && !tiff.starts_with("MM")) return std::nullopt;
  const bool big_endian = tiff.starts_with("MM");
  const size_t directory = number(tiff, 4, 4, big_endian);
  const uint32_t entries = number(tiff, directory, 2, big_endian);
  std::optional<uint32_t> value;
  for (size_t i = 0; i < entries; ++i) {
    const size_t entry = directory + 2 + kEntryBytes * i;
    if (entry + kEntryBytes > tiff.size()) break;
    if (number(tiff, entry, 2, big_endian) == tag) value = value_of(tiff, entry, big_endian);
  }
  return value;
}

int orientation_of(std::string_view exif, std::string_view xmp) {
  constexpr std::string_view kHeader("Exif\0\0", 6);
  constexpr uint32_t kOrientation = 0x0112;
  while (exif.starts_with(kHeader)) exif.remove_prefix(kHeader.size());
  const auto tag = tiff_value(exif, kOrientation);
  const uint32_t value = tag ? *tag : orientation_in_xmp(xmp);
  return value >= 1 && value <= 8 ? int(value) : 1;
}

int orientation_of_exif(std::string_view exif) { return orientation_of(exif, {}); }

// Segments of EXIF data that follow the first one continue it; the last segment of XMP counts. Bytes between
// segments are skipped.
int orientation_of_jpeg(std::string_view jpeg) {
  constexpr uint32_t kApp1 = 0xE1, kStartOfScan = 0xDA, kEnd = 0xD9;
  constexpr std::string_view kExif("Exif\0\0", 6), kXmp("http://ns.adobe.com/xap/1.0/\0", 29);
  std::string exif;
  std::string_view xmp;
  for (size_t at = jpeg.find('\xff', 2); at != std::string_view::npos && at + 4 <= jpeg.size();
       at = jpeg.find('\xff', at)) {
    const uint32_t marker = number(jpeg, at + 1, 1, true);
    if (marker == kStartOfScan || marker == kEnd) break;
    if (marker == 0xFF || marker <= 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {  // filling, or no segment
      at += marker == 0xFF ? 1 : 2;
      continue;
    }
    const size_t length = number(jpeg, at + 2, 2, true);
    const std::string_view segment = jpeg.substr(at + 4, length < 2 ? 0 : length - 2);
    if (marker == kApp1 && segment.starts_with(kExif))
      exif += segment.substr(exif.empty() ? 0 : kExif.size());
    if (marker == kApp1 && segment.starts_with(kXmp)) xmp = segment.substr(kXmp.size());
    at += 2 + length;
  }
  return orientation_of(exif, xmp);
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
