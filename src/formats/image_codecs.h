// One decoder per image format; image_file.h has the rules for all of them.
#pragma once
#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "likely_content.h"
#include "pixart/formats/image_file.h"

namespace pixart::formats {

// Side by side, the functions that image_file.cpp chooses from. All throw ImageError.
void check_size(int64_t width, int64_t height, const std::string& name, const DecodeLimits& limits);
ImageError damaged_image(const std::string& name, std::string_view kind, std::string_view why);
ImageError unsupported_image(const std::string& name, std::string_view kind, std::string_view why);
Image decode_png(std::string_view bytes, const std::string& name, const DecodeLimits& limits);
ReducedImage decode_jpeg(std::string_view bytes, const std::string& name, int least_side,
                         const DecodeLimits& limits);
Image decode_webp(std::string_view bytes, const std::string& name, const DecodeLimits& limits);
Image decode_gif(std::string_view bytes, const std::string& name, const DecodeLimits& limits);
Image decode_bmp(std::string_view bytes, const std::string& name, const DecodeLimits& limits);
Image decode_tiff(std::string_view bytes, const std::string& name, const DecodeLimits& limits);
Image decode_avif(std::string_view bytes, const std::string& name, const DecodeLimits& limits);

ImageSize size_of_jpeg(std::string_view bytes, const std::string& name, const DecodeLimits& limits);
ImageSize size_of_png(std::string_view bytes, const std::string& name, const DecodeLimits& limits);

bool is_bmp(std::string_view bytes);
bool is_avif(std::string_view bytes);

// The facts in the markers of a JPEG file, read before decoding.
struct JpegFrame {
  int process = -1;  // marker of the frame, 0xC0 to 0xCF: baseline, progressive, lossless, arithmetic, ...
  int precision = 0;
  int scans = 0;
};
JpegFrame frame_of_jpeg(std::string_view jpeg);

// The colours of an indexed image. A file may have less than 256; the others are black, as in Pillow.
struct Palette {
  std::array<std::array<uint8_t, 3>, 256> colors{};
};

// RGBA rows, composited on white.
Image composite_on_white(const uint8_t* rgba, int width, int height);

// One channel of one pixel, composited on white.
inline uint8_t on_white(unsigned value, unsigned alpha) {
  return uint8_t((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

// One channel of a pixel in print colours (CMYK), both inverted (255: no ink). No colour profile is used.
inline uint8_t from_ink(unsigned color, unsigned black) { return uint8_t((color * black + 127) / 255); }

// How an image is to be turned, 1 (upright) to 8, as Pillow's ImageOps.exif_transpose() decides: by the EXIF
// data (a TIFF block, perhaps after "Exif\0\0", of which one directory is read), or if these say nothing
// about it, by tiff:Orientation in the XMP text.
int orientation_of(std::string_view exif, std::string_view xmp);
int orientation_of_exif(std::string_view exif);
// The first value of a tag in the first directory of a TIFF block, 0 if it is not a whole number; nothing if
// the directory has no such tag.
std::optional<uint32_t> tiff_value(std::string_view tiff, uint32_t tag);
int orientation_of_jpeg(std::string_view jpeg);
int orientation_of_png(std::string_view png);
Image oriented(Image image, int orientation);

}  // namespace pixart::formats
