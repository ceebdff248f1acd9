// One decoder per image format; image_file.h has the rules for all of them.
#pragma once
#include <string>
#include <string_view>

#include "likely_content.h"
#include "pixart/formats/image_file.h"

namespace pixart::formats {

void check_size(int64_t width, int64_t height, const std::string& name, const DecodeLimits& limits);
Image decode_png(std::string_view bytes, const std::string& name, const DecodeLimits& limits);
ReducedImage decode_jpeg(std::string_view bytes, const std::string& name, int least_side,
                         const DecodeLimits& limits);
Image decode_webp(std::string_view bytes, const std::string& name, const DecodeLimits& limits);

// The facts in the markers of a JPEG file, read before decoding.
struct JpegFrame {
  int process = -1;  // marker of the frame, 0xC0 to 0xCF: baseline, progressive, lossless, arithmetic, ...
  int precision = 0;
  int scans = 0;
};
JpegFrame frame_of_jpeg(std::string_view jpeg);

// RGBA rows, composited on white.
Image composite_on_white(const uint8_t* rgba, int width, int height);

// EXIF orientation, 1 to 8; 1 (upright) if there is none. EXIF data is a TIFF block, of which one directory
// is read; in a JPEG file it is in an APP1 segment.
int orientation_of_exif(std::string_view tiff);
int orientation_of_jpeg(std::string_view jpeg);
Image oriented(Image image, int orientation);

}  // namespace pixart::formats
