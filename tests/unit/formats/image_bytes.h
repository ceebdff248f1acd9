// Images in memory, as other programs store them.
#pragma once
#include <gtest/gtest.h>
#include <png.h>
#include <turbojpeg.h>
#include <webp/encode.h>
#include <zlib.h>

#include <optional>
#include <string>
#include <vector>

#include "folder.h"
#include "pixart/formats/image_file.h"

namespace pixart::formats {

// 3 x 2 pixels, all different.
inline Image small() {
  Image image(2, 3);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = uint8_t(13 * i + 1);
  return image;
}

inline Image gradient(int height, int width) {
  Image image(height, width);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.at(y, x)[0] = uint8_t(255 * x / width);
      image.at(y, x)[1] = uint8_t(255 * y / height);
      image.at(y, x)[2] = 128;
    }
  }
  return image;
}

inline std::string jpeg_of(const Image& image, int flags = 0, int sampling = TJSAMP_444) {
  const tjhandle encoder = tjInitCompress();
  unsigned char* data = nullptr;
  unsigned long size = 0;
  EXPECT_EQ(tjCompress2(encoder, image.rgb.data(), image.width, 0, image.height, TJPF_RGB, &data, &size,
                        sampling, 95, flags),
            0);
  std::string bytes(reinterpret_cast<char*>(data), size);
  tjFree(data);
  tjDestroy(encoder);
  return bytes;
}

inline std::string webp_of(const std::vector<uint8_t>& rgba, int width, int height) {
  uint8_t* data = nullptr;
  const size_t size = WebPEncodeLosslessRGBA(rgba.data(), width, height, width * 4, &data);
  std::string bytes(reinterpret_cast<char*>(data), size);
  WebPFree(data);
  return bytes;
}

struct PngOptions {
  int bit_depth = 8, color_type = PNG_COLOR_TYPE_RGB, interlace = PNG_INTERLACE_NONE;
};

inline std::string png_of(int width, int height, const std::vector<uint8_t>& samples,
                          const PngOptions& options) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png_create_info_struct(png);
  std::string bytes;
  png_set_write_fn(
      png, &bytes,
      [](png_structp p, png_bytep data, size_t count) {
        static_cast<std::string*>(png_get_io_ptr(p))->append(reinterpret_cast<char*>(data), count);
      },
      nullptr);
  png_set_IHDR(png, info, png_uint_32(width), png_uint_32(height), options.bit_depth, options.color_type,
               options.interlace, 0, 0);
  png_write_info(png, info);
  std::vector<png_bytep> rows;
  for (int y = 0; y < height; ++y)
    rows.push_back(const_cast<png_bytep>(samples.data() + size_t(y) * samples.size() / size_t(height)));
  png_write_image(png, rows.data());
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return bytes;
}

inline std::string big_endian(uint32_t value) {
  return {char(value >> 24), char(value >> 16), char(value >> 8), char(value)};
}

inline std::string png_chunk(const std::string& type_and_data) {
  const auto crc =
      uint32_t(crc32(0, reinterpret_cast<const Bytef*>(type_and_data.data()), uInt(type_and_data.size())));
  return big_endian(uint32_t(type_and_data.size() - 4)) + type_and_data + big_endian(crc);
}

// A TIFF block with one entry of interest behind another one; `type` is that of its value, of TIFF 6.0.
inline std::string exif_of(int orientation, bool big, int type = 3) {
  constexpr int kShort = 3, kSignedShort = 8;
  const auto number = [&](uint32_t value, int count) {
    std::string out = little_endian(value, count);
    return big ? std::string(out.rbegin(), out.rend()) : out;
  };
  const int bytes = type == kShort || type == kSignedShort ? 2 : 4;
  const std::string other = number(0x0100, 2) + number(3, 2) + number(1, 4) + number(9, 2) + number(0, 2);
  const std::string entry = number(0x0112, 2) + number(uint32_t(type), 2) + number(1, 4) +
                            number(uint32_t(orientation), bytes) + number(0, 4 - bytes);
  return (big ? "MM" : "II") + number(42, 2) + number(8, 4) + number(2, 2) + other + entry + number(0, 4);
}

inline std::string jpeg_with_exif(const Image& image, const std::string& tiff) {
  const std::string bytes = jpeg_of(image), segment = std::string("Exif\0\0", 6) + tiff;
  const auto length = uint16_t(segment.size() + 2);
  return bytes.substr(0, 2) + "\xff\xff\xe1" + char(length >> 8) + char(length) + segment + bytes.substr(2);
}

// What decode_image() says against an image; nothing if it takes it.
inline std::optional<ImageFault> fault_of(const std::string& bytes, const DecodeLimits& limits = {}) {
  try {
    decode_image(bytes, "picture", limits);
  } catch (const ImageError& error) {
    return error.fault();
  }
  return std::nullopt;
}

}  // namespace pixart::formats
