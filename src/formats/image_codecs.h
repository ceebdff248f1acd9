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

// EXIF orientation (1 to 8) of a JPEG file, 1 where there is none; and a picture turned by it.
int exif_orientation(std::string_view jpeg);
Image oriented(const Image& image, int orientation);

}  // namespace pixart::formats
