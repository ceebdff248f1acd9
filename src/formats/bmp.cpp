// Windows and OS/2 bitmaps: 1, 4 and 8 bits with a palette, plain or run-length coded; 16, 24 and 32 bits,
// plain or with masks. Debian's libraries for BMP read far less, or bring dozens of other formats with them.
#include <algorithm>
#include <bit>
#include <cstdlib>

#include "image_codecs.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

constexpr std::string_view kKind = "BMP";
constexpr size_t kFileHeader = 14, kOldHeader = 12, kHeader = 40;  // bytes
constexpr uint32_t kPlain = 0, kRuns8 = 1, kRuns4 = 2, kMasks = 3;

uint32_t number(std::string_view bytes, size_t at, size_t count) {
  uint32_t value = 0;
  for (size_t i = count; i-- > 0;) value = value << 8 | (at + i < bytes.size() ? uint8_t(bytes[at + i]) : 0u);
  return value;
}

struct Bitmap {
  int64_t width = 0, height = 0;
  bool from_top = false;
  uint32_t bits = 0, compression = kPlain;
  std::array<uint32_t, 4> masks = {};  // red, green, blue, alpha
  Palette palette = {};
  std::string_view pixels = {};
};

void read_palette(std::string_view bytes, size_t at, size_t entry_bytes, uint64_t count, Palette& palette) {
  for (size_t i = 0; i < std::min<uint64_t>(count, 256) && at + 3 <= bytes.size(); ++i, at += entry_bytes)
    for (size_t c = 0; c < 3; ++c) palette.colors[i][c] = uint8_t(bytes[at + 2 - c]);
}

void choose_masks(std::string_view bytes, size_t header_bytes, Bitmap& bitmap) {
  if (bitmap.compression == kMasks) {
    for (size_t i = 0; i < (header_bytes >= 56 ? 4u : 3u); ++i)
      bitmap.masks[i] = number(bytes, kFileHeader + kHeader + 4 * i, 4);
    if (bitmap.masks != std::array<uint32_t, 4>{}) return;
  }
  bitmap.masks = bitmap.bits == 16 ? std::array<uint32_t, 4>{0x7C00, 0x03E0, 0x001F, 0}
                                   : std::array<uint32_t, 4>{0xFF0000, 0xFF00, 0xFF, 0};
  if (bitmap.bits == 32 && bitmap.compression == kMasks) bitmap.masks[3] = 0xFF000000;
}

Bitmap read_header(std::string_view bytes, const std::string& name) {
  const size_t header_bytes = number(bytes, kFileHeader, 4);
  const bool is_old = header_bytes == kOldHeader;
  Bitmap bitmap;
  const size_t at = kFileHeader + 4;
  if (is_old) {
    bitmap.width = number(bytes, at, 2), bitmap.height = number(bytes, at + 2, 2);
    bitmap.bits = number(bytes, at + 6, 2);
  } else {
    bitmap.width = int32_t(number(bytes, at, 4)), bitmap.height = int32_t(number(bytes, at + 4, 4));
    bitmap.bits = number(bytes, at + 10, 2);
    bitmap.compression = number(bytes, at + 12, 4);
  }
  bitmap.from_top = bitmap.height < 0;
  bitmap.height = std::abs(bitmap.height);
  const uint32_t bits = bitmap.bits, packing = bitmap.compression;
  const bool is_byte_wise = bits == 8 || bits == 16 || bits == 24 || bits == 32;
  const bool is_known = (packing == kPlain && (bits == 1 || bits == 4 || is_byte_wise)) ||
                        (packing == kRuns8 && bits == 8) || (packing == kRuns4 && bits == 4) ||
                        (packing == kMasks && is_byte_wise && bits > 8);
  if (!is_known)
    throw unsupported_image(name, kKind, fmt::format("{} bits a pixel, compression {}", bits, packing));
  choose_masks(bytes, header_bytes, bitmap);
  size_t data = number(bytes, 10, 4);
  if (bits <= 8) {
    const size_t entry_bytes = is_old ? 3 : 4;
    const uint64_t used = is_old ? 0 : number(bytes, at + 28, 4),
                   count = used == 0 ? uint64_t{1} << bits : used;
    read_palette(bytes, kFileHeader + header_bytes, entry_bytes, count, bitmap.palette);
    if (data == kFileHeader + header_bytes)
      data += entry_bytes * std::min<uint64_t>(count, 256);  // as Pillow does
  }
  bitmap.pixels = bytes.substr(std::min(data, bytes.size()));
  return bitmap;
}

// The value of the bits that `mask` selects, as a fraction of 255.
uint8_t masked(uint32_t pixel, uint32_t mask) {
  if (mask == 0) return 0;
  const uint64_t most = mask >> std::countr_zero(mask), value = (pixel & mask) >> std::countr_zero(mask);
  return uint8_t(value * 255 / most);
}

void put_pixel(const Bitmap& bitmap, uint32_t stored, uint8_t* pixel) {
  if (bitmap.bits <= 8) {
    std::copy_n(bitmap.palette.colors[stored & 0xFF].begin(), 3, pixel);
    return;
  }
  const unsigned alpha = bitmap.masks[3] == 0 ? 255 : masked(stored, bitmap.masks[3]);
  for (size_t c = 0; c < 3; ++c) pixel[c] = on_white(masked(stored, bitmap.masks[c]), alpha);
}

// Row `y` of the image, counted in the order of the file.
uint8_t* row_of(const Bitmap& bitmap, Image& image, int64_t y) {
  return image.at(int(bitmap.from_top ? y : bitmap.height - 1 - y), 0);
}

Image decode_plain(const Bitmap& bitmap, const std::string& name) {
  const uint64_t row_bits = uint64_t(bitmap.width) * bitmap.bits, row_bytes = (row_bits + 7) / 8,
                 stride = (row_bits + 31) / 32 * 4;
  if (stride * uint64_t(bitmap.height - 1) + row_bytes > bitmap.pixels.size())
    throw damaged_image(name, kKind, "the file ends early");
  Image image(int(bitmap.height), int(bitmap.width));
  for (int64_t y = 0; y < bitmap.height; ++y) {
    const std::string_view row = bitmap.pixels.substr(size_t(y) * stride, row_bytes);
    uint8_t* out = row_of(bitmap, image, y);
    for (size_t x = 0; x < size_t(bitmap.width); ++x, out += 3) {
      const size_t first_bit = x * bitmap.bits;
      const uint32_t stored =
          bitmap.bits >= 8 ? number(row, first_bit / 8, bitmap.bits / 8)
                           : uint32_t(uint8_t(row[first_bit / 8]) >> (8 - bitmap.bits - first_bit % 8)) &
                                 ((1u << bitmap.bits) - 1);
      put_pixel(bitmap, stored, out);
    }
  }
  return image;
}

// Run-length coding: pairs of (count, value); a count of 0 begins a command.
class Runs {
 public:
  Runs(const Bitmap& bitmap, const std::string& name)
      : bitmap_(bitmap), name_(name), left_(bitmap.pixels), indices_(size_t(bitmap.width * bitmap.height)) {}

  Image decode() {
    while (y_ < bitmap_.height) {
      const uint8_t count = take(), value = take();
      if (count > 0)
        repeat(count, value);
      else if (value == kEnd)
        break;
      else if (value == kLine)
        x_ = 0, ++y_;
      else if (value == kMove)
        x_ += take(), y_ += take();
      else
        copy(value);
    }
    Image image(int(bitmap_.height), int(bitmap_.width));
    for (int64_t y = 0; y < bitmap_.height; ++y)
      for (int64_t x = 0; x < bitmap_.width; ++x)
        put_pixel(bitmap_, indices_[size_t(y * bitmap_.width + x)], row_of(bitmap_, image, y) + 3 * x);
    return image;
  }

 private:
  static constexpr uint8_t kLine = 0, kEnd = 1, kMove = 2;

  uint8_t take() {
    if (left_.empty()) throw damaged_image(name_, kKind, "the file ends early");
    const auto byte = uint8_t(left_[0]);
    left_.remove_prefix(1);
    return byte;
  }
  void put(uint8_t index) {
    if (x_ < bitmap_.width && y_ < bitmap_.height) indices_[size_t(y_ * bitmap_.width + x_)] = index;
    ++x_;
  }
  // The pixel of a byte that holds two; with 8 bits it holds one.
  uint8_t part(uint8_t byte, int i) const {
    return bitmap_.bits == 8 ? byte : uint8_t(i % 2 == 0 ? byte >> 4 : byte & 0x0F);
  }
  void repeat(int count, uint8_t value) {
    for (int i = 0; i < count; ++i) put(part(value, i));
  }
  void copy(int count) {
    const int bytes = bitmap_.bits == 8 ? count : (count + 1) / 2;
    uint8_t byte = 0;
    for (int i = 0; i < count; ++i) {
      if (bitmap_.bits == 8 || i % 2 == 0) byte = take();
      put(part(byte, i));
    }
    if (bytes % 2 != 0) take();  // padded to an even number
  }

  const Bitmap& bitmap_;
  const std::string& name_;
  std::string_view left_;
  std::vector<uint8_t> indices_;  // in the order of the file; what no run covers is 0
  int64_t x_ = 0, y_ = 0;
};

}  // namespace

bool is_bmp(std::string_view bytes) {
  constexpr std::array<uint32_t, 7> kHeaders = {12, 40, 52, 56, 64, 108, 124};
  if (!bytes.starts_with("BM") || bytes.size() < kFileHeader + 4) return false;
  const uint32_t header = number(bytes, kFileHeader, 4);
  return std::find(kHeaders.begin(), kHeaders.end(), header) != kHeaders.end();
}

Image decode_bmp(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const size_t header_bytes = number(bytes, kFileHeader, 4);
  if (bytes.size() < kFileHeader + header_bytes)
    throw damaged_image(name, kKind, "the file ends within its header");
  const Bitmap bitmap = read_header(bytes, name);
  check_size(bitmap.width, bitmap.height, name, limits);
  const bool is_plain = bitmap.compression == kPlain || bitmap.compression == kMasks;
  return is_plain ? decode_plain(bitmap, name) : Runs(bitmap, name).decode();
}

}  // namespace pixart::formats
