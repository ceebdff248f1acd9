// One decoder per picture format; see image_file.h for the rules that all follow.
#pragma once
#include <string>
#include <string_view>

#include "pixart/formats/image_file.h"

namespace pixart::formats {

void check_size(int64_t width, int64_t height, const std::string& name, const DecodeLimits& limits);
Image decode_png(std::string_view bytes, const std::string& name, const DecodeLimits& limits);
Image decode_jpeg(std::string_view bytes, const std::string& name, const DecodeLimits& limits);
Image decode_webp(std::string_view bytes, const std::string& name, const DecodeLimits& limits);

// RGBA rows, composited on white.
Image composite_on_white(const uint8_t* rgba, int width, int height);

// EXIF orientation, 1 to 8; 1 (upright) where there is none. EXIF data is a TIFF block with one directory of
// interest; in a JPEG file it stands in an APP1 segment.
int orientation_of_exif(std::string_view tiff);
int orientation_of_jpeg(std::string_view jpeg);
Image oriented(Image image, int orientation);

}  // namespace pixart::formats
