// One decoder per picture format; see image_file.h for the rules that all follow.
#pragma once
#include <string>
#include <string_view>

#include "pixart/formats/image_file.h"

namespace pixart::formats {

void check_size(int64_t width, int64_t height, const std::string& name, const DecodeLimits& limits);
Image decode_png(std::string_view bytes, const std::string& name, const DecodeLimits& limits);
ReducedImage decode_jpeg(std::string_view bytes, const std::string& name, int least_side,
                         const DecodeLimits& limits);
Image decode_webp(std::string_view bytes, const std::string& name, const DecodeLimits& limits);

// What content that is none of these seems to be, e.g. "a GIF picture"; "" where it cannot be told.
std::string_view likely_content(std::string_view bytes);

// What the markers of a JPEG file say before anything is decoded.
struct JpegFrame {
  int process = -1;  // marker of the frame, 0xC0 to 0xCF: baseline, progressive, lossless, arithmetic, ...
  int precision = 0;
  int scans = 0;
};
JpegFrame frame_of_jpeg(std::string_view jpeg);

// RGBA rows, composited on white.
Image composite_on_white(const uint8_t* rgba, int width, int height);

// EXIF orientation, 1 to 8; 1 (upright) where there is none. EXIF data is a TIFF block with one directory of
// interest; in a JPEG file it stands in an APP1 segment.
int orientation_of_exif(std::string_view tiff);
int orientation_of_jpeg(std::string_view jpeg);
Image oriented(Image image, int orientation);

}  // namespace pixart::formats
