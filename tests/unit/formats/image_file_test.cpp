#include "pixart/formats/image_file.h"

#include <png.h>
#include <turbojpeg.h>
#include <webp/encode.h>
#include <zlib.h>

#include "folder.h"
#include "image_codecs.h"

namespace pixart::formats {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

// 3 x 2 pixels, all different.
Image small() {
  Image image(2, 3);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = uint8_t(13 * i + 1);
  return image;
}

Image gradient(int height, int width) {
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

std::string jpeg_of(const Image& image) {
  const tjhandle encoder = tjInitCompress();
  unsigned char* data = nullptr;
  unsigned long size = 0;
  EXPECT_EQ(tjCompress2(encoder, image.rgb.data(), image.width, 0, image.height, TJPF_RGB, &data, &size,
                        TJSAMP_444, 95, 0),
            0);
  std::string bytes(reinterpret_cast<char*>(data), size);
  tjFree(data);
  tjDestroy(encoder);
  return bytes;
}

std::string webp_of(const std::vector<uint8_t>& rgba, int width, int height) {
  uint8_t* data = nullptr;
  const size_t size = WebPEncodeLosslessRGBA(rgba.data(), width, height, width * 4, &data);
  std::string bytes(reinterpret_cast<char*>(data), size);
  WebPFree(data);
  return bytes;
}

struct PngOptions {
  int bit_depth = 8, color_type = PNG_COLOR_TYPE_RGB, interlace = PNG_INTERLACE_NONE;
};

std::string png_of(int width, int height, const std::vector<uint8_t>& samples, const PngOptions& options) {
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

std::string big_endian(uint32_t value) {
  return {char(value >> 24), char(value >> 16), char(value >> 8), char(value)};
}

std::string png_chunk(const std::string& type_and_data) {
  const auto crc =
      uint32_t(crc32(0, reinterpret_cast<const Bytef*>(type_and_data.data()), uInt(type_and_data.size())));
  return big_endian(uint32_t(type_and_data.size() - 4)) + type_and_data + big_endian(crc);
}

// A TIFF block with one entry of interest behind another one.
std::string exif_of(int orientation, bool big) {
  const auto number = [&](uint32_t value, int count) {
    std::string out = little_endian(value, count);
    return big ? std::string(out.rbegin(), out.rend()) : out;
  };
  const std::string other = number(0x0100, 2) + number(3, 2) + number(1, 4) + number(9, 2) + number(0, 2);
  const std::string entry =
      number(0x0112, 2) + number(3, 2) + number(1, 4) + number(uint32_t(orientation), 2) + number(0, 2);
  return (big ? "MM" : "II") + number(42, 2) + number(8, 4) + number(2, 2) + other + entry + number(0, 4);
}

std::string jpeg_with_exif(const Image& image, const std::string& tiff) {
  const std::string bytes = jpeg_of(image), segment = std::string("Exif\0\0", 6) + tiff;
  const auto length = uint16_t(segment.size() + 2);
  return bytes.substr(0, 2) + "\xff\xff\xe1" + char(length >> 8) + char(length) + segment + bytes.substr(2);
}

class ImageFile : public Folder {
 protected:
  std::string refusal_of(const std::string& bytes, const DecodeLimits& limits = {}) const {
    return refusal([&] { decode_image(bytes, "picture", limits); });
  }
};

TEST_F(ImageFile, PngComesBackWithItsText) {
  const auto path = folder_ / "p.png";
  save_png(path, small(), {{"prompt", "a caf\u00e9"}, {"seed", "7"}});
  const Image image = load_image(path);
  EXPECT_EQ(image.height, 2);
  EXPECT_EQ(image.width, 3);
  EXPECT_EQ(image.rgb, small().rgb);
  const std::string bytes = read(path);
  EXPECT_NE(bytes.find(std::string("iTXtprompt\0\0\0\0\0a caf\u00e9", 22)), std::string::npos);
  EXPECT_NE(bytes.find(std::string("iTXtseed\0\0\0\0\0007", 14)), std::string::npos);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);  // no temporary file is left
}

TEST_F(ImageFile, PngOfOtherKinds) {
  const auto decode = [&](int width, int height, const std::vector<uint8_t>& samples,
                          const PngOptions& options) {
    return decode_image(png_of(width, height, samples, options), "p").rgb;
  };
  EXPECT_EQ(decode(2, 1, {10, 200}, {.color_type = PNG_COLOR_TYPE_GRAY}),
            (std::vector<uint8_t>{10, 10, 10, 200, 200, 200}));
  EXPECT_EQ(decode(1, 1, {0x12, 0xff}, {.bit_depth = 16, .color_type = PNG_COLOR_TYPE_GRAY}),
            (std::vector<uint8_t>{0x12, 0x12, 0x12}));
  EXPECT_EQ(decode(8, 1, {0x80}, {.bit_depth = 1, .color_type = PNG_COLOR_TYPE_GRAY})[0], 255);
  EXPECT_EQ(decode(3, 2, small().rgb, {.interlace = PNG_INTERLACE_ADAM7}), small().rgb);
}

TEST_F(ImageFile, AlphaIsCompositedOnWhite) {
  const std::vector<uint8_t> rgba = {0, 100, 200, 255, 0, 100, 200, 0, 0, 100, 200, 51},
                             want = {0, 100, 200, 255, 255, 255, 204, 224, 244};
  EXPECT_EQ(decode_image(png_of(3, 1, rgba, {.color_type = PNG_COLOR_TYPE_RGBA}), "p").rgb, want);
  EXPECT_EQ(decode_image(png_of(2, 1, {9, 255, 9, 0}, {.color_type = PNG_COLOR_TYPE_GRAY_ALPHA}), "p").rgb,
            (std::vector<uint8_t>{9, 9, 9, 255, 255, 255}));
  const Image webp = decode_image(webp_of(rgba, 3, 1), "p");
  EXPECT_EQ(webp.rgb[0], 0);
  EXPECT_EQ(webp.rgb[3], 255);
  EXPECT_EQ(webp.rgb[6], 204);
}

// The corner that shows where the first stored pixel went: EXIF 2.3, table 6.
TEST_F(ImageFile, ExifOrientationIsApplied) {
  const Image stored = small();
  struct Corner {
    int y, x, height, width;
  };
  const Corner corners[] = {{0, 0, 2, 3}, {0, 2, 2, 3}, {1, 2, 2, 3}, {1, 0, 2, 3},
                            {0, 0, 3, 2}, {0, 1, 3, 2}, {2, 1, 3, 2}, {2, 0, 3, 2}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const auto [y, x, height, width] = corners[orientation - 1];
    const Image upright = oriented(stored, orientation);
    ASSERT_EQ(upright.height, height) << orientation;
    ASSERT_EQ(upright.width, width) << orientation;
    EXPECT_EQ(upright.at(y, x)[0], stored.at(0, 0)[0]) << orientation;
    EXPECT_EQ(upright.at(height - 1 - y, width - 1 - x)[0], stored.at(1, 2)[0]) << orientation;
  }
}

TEST_F(ImageFile, ExifIsFoundInEachFormat) {
  const Image image = gradient(8, 16);
  for (const bool big : {false, true}) {
    EXPECT_EQ(decode_image(jpeg_with_exif(image, exif_of(6, big)), "p").width, 8);
    EXPECT_EQ(decode_image(jpeg_with_exif(image, exif_of(3, big)), "p").width, 16);
  }
  EXPECT_EQ(decode_image(jpeg_with_exif(image, exif_of(9, false)), "p").width, 16);
  const std::string png = png_of(3, 2, small().rgb, {}), head = png.substr(0, 33);
  EXPECT_EQ(decode_image(head + png_chunk("eXIf" + exif_of(8, true)) + png.substr(33), "p").width, 2);
}

TEST_F(ImageFile, DamagedExifCountsAsNone) {
  for (const std::string tiff : {"", "II", "MM\0\x2a\xff\xff\xff\xff", "II\x2a", "XX"})
    EXPECT_EQ(orientation_of_exif(tiff), 1);
  const std::string good = exif_of(6, false);
  for (size_t count = 0; count < good.size(); ++count) {
    const int orientation = orientation_of_exif(good.substr(0, count));
    EXPECT_TRUE(orientation == 1 || orientation == 6);
  }
  EXPECT_EQ(orientation_of_jpeg("\xff\xd8\xff\xe1"), 1);
}

TEST_F(ImageFile, JpegIsCloseAndGreyIsSpread) {
  const Image image = gradient(32, 48), decoded = decode_image(jpeg_of(image), "p");
  ASSERT_EQ(decoded.rgb.size(), image.rgb.size());
  for (size_t i = 0; i < image.rgb.size(); ++i) ASSERT_NEAR(decoded.rgb[i], image.rgb[i], 8) << i;
}

// A cut at any place is noticed, and no changed byte does harm.
TEST_F(ImageFile, DamageIsRefusedOrHarmless) {
  const std::vector<uint8_t> rgba(size_t(20 * 20 * 4), 200);
  for (const std::string& bytes :
       {jpeg_of(gradient(20, 20)), png_of(20, 20, gradient(20, 20).rgb, {}), webp_of(rgba, 20, 20)}) {
    for (size_t count = 0; count + 2 < bytes.size(); count += 7)
      EXPECT_THAT(refusal_of(bytes.substr(0, count)), HasSubstr("picture")) << count;
    for (size_t i = 0; i < bytes.size(); i += 3) {
      std::string changed = bytes;
      changed[i] = char(changed[i] ^ 0x55);
      try {
        decode_image(changed, "p");
      } catch (const UserError&) {
      }
    }
  }
}

TEST_F(ImageFile, LimitsHoldBeforeAllocation) {
  const std::string png = png_of(3, 2, small().rgb, {}), jpeg = jpeg_of(gradient(20, 30));
  EXPECT_THAT(refusal_of(png, {.side = 2}),
              AllOf(HasSubstr("picture"), HasSubstr("3 x 2"), HasSubstr("limit")));
  EXPECT_THAT(refusal_of(jpeg, {.pixels = 599}), HasSubstr("30 x 20"));
  EXPECT_THAT(refusal_of(webp_of(std::vector<uint8_t>(400, 7), 10, 10), {.side = 9}), HasSubstr("10 x 10"));
  EXPECT_THAT(refusal_of(png, {.file_bytes = 10}), HasSubstr("bytes"));
  const std::string huge =
      png.substr(0, 8) +
      png_chunk("IHDR" + big_endian(100'000) + big_endian(100'000) + std::string("\x08\x02\0\0\0", 5)) +
      png.substr(33);
  EXPECT_THAT(refusal_of(huge), HasSubstr("100000 x 100000"));
}

TEST_F(ImageFile, NamesWhatIsNoPicture) {
  EXPECT_THAT(refusal_of("GIF89a"), AllOf(HasSubstr("picture"), HasSubstr("no JPEG, PNG or WebP")));
  EXPECT_THAT(refusal_of(""), HasSubstr("empty"));
  EXPECT_THAT(refusal([&] { load_image(folder_ / "absent.png"); }), HasSubstr("absent.png"));
}

TEST_F(ImageFile, SavingChecksItsArguments) {
  EXPECT_THROW(save_png(folder_ / "p.png", Image()), InternalError);
  EXPECT_THROW(save_png(folder_ / "p.png", small(), {{std::string(80, 'k'), "v"}}), InternalError);
}

}  // namespace
}  // namespace pixart::formats
