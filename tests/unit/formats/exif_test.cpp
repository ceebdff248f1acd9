// Orientation: what Pillow 13's ImageOps.exif_transpose() obeys.
#include "image_bytes.h"
#include "image_codecs.h"

namespace pixart::formats {
namespace {

using namespace std::string_literals;

const std::string kHeader("Exif\0\0", 6);

// A segment APP1 of a JPEG file.
std::string app1(const std::string& data) {
  const auto length = uint16_t(data.size() + 2);
  return "\xff\xe1" + std::string{char(length >> 8), char(length)} + data;
}

std::string compressed(const std::string& text) {
  uLongf size = compressBound(uLong(text.size()));
  std::string bytes(size, '\0');
  EXPECT_EQ(compress(reinterpret_cast<Bytef*>(bytes.data()), &size,
                     reinterpret_cast<const Bytef*>(text.data()), uLong(text.size())),
            Z_OK);
  bytes.resize(size);
  return bytes;
}

// ImageMagick's form of EXIF data in a text.
std::string raw_profile(const std::string& exif) {
  std::string text = fmt::format("\nexif\n{:8}", exif.size());
  for (size_t i = 0; i < exif.size(); ++i)
    text += fmt::format("{}{:02x}", i % 36 == 0 ? "\n" : "", uint8_t(exif[i]));
  return text + "\n";
}

const std::string kXmp = "<rdf:Description tiff:Orientation=\"6\"/>";

class Exif : public ::testing::Test {
 protected:
  static int jpeg_width(const std::string& inserted) {
    const std::string jpeg = jpeg_of(gradient(8, 16));
    return decode_image(jpeg.substr(0, 2) + inserted + jpeg.substr(2), "p").width;
  }
  // Chunks before the pixels, and after them.
  static std::pair<int, int> png_widths(const std::string& chunk) {
    const std::string png = png_of(3, 2, small().rgb, {});
    const size_t end = png.size() - 12;
    return {decode_image(png.substr(0, 33) + chunk + png.substr(33), "p").width,
            decode_image(png.substr(0, end) + chunk + png.substr(end), "p").width};
  }
};

TEST_F(Exif, IsFoundInJpeg) {
  for (const bool big : {false, true}) {
    EXPECT_EQ(jpeg_width(app1(kHeader + exif_of(6, big))), 8);
    EXPECT_EQ(jpeg_width(app1(kHeader + exif_of(3, big))), 16);
    EXPECT_EQ(jpeg_width(app1(kHeader + exif_of(9, big))), 16);
    EXPECT_EQ(jpeg_width(app1(kHeader + kHeader + exif_of(6, big))), 8) << "a doubled header";
    EXPECT_EQ(jpeg_width(app1("other") + "\x12\x34" + app1(kHeader + exif_of(6, big))), 8)
        << "bytes between segments";
    EXPECT_EQ(jpeg_width(app1(kHeader + exif_of(6, big)) + app1(kHeader + exif_of(3, big))), 8)
        << "the first";
  }
}

TEST_F(Exif, WholeNumbersOfEachTypeCount) {
  constexpr int kLong = 4, kSignedShort = 8, kSignedLong = 9, kFloat = 11;
  for (const bool big : {false, true}) {
    for (const int type : {kLong, kSignedShort, kSignedLong})
      EXPECT_EQ(orientation_of_exif(exif_of(6, big, type)), 6) << type << " " << big;
    EXPECT_EQ(orientation_of_exif(exif_of(6, big, kFloat)), 1);
  }
}

TEST_F(Exif, IsFoundInPng) {
  const std::pair turned(2, 2), as_stored(3, 3);
  for (const bool big : {false, true}) {
    const std::string exif = exif_of(8, big), profile = raw_profile(kHeader + exif);
    EXPECT_EQ(png_widths(png_chunk("eXIf" + exif)), turned);
    EXPECT_EQ(png_widths(png_chunk("eXIf" + kHeader + exif)), turned);
    EXPECT_EQ(png_widths(png_chunk("tEXtRaw profile type exif\0"s + profile)), turned);
    EXPECT_EQ(png_widths(png_chunk("zTXtRaw profile type exif\0\0"s + compressed(profile))), turned);
    EXPECT_EQ(png_widths(png_chunk("iTXtRaw profile type exif\0\1\0\0\0"s + compressed(profile))), turned);
    EXPECT_EQ(png_widths(png_chunk("tEXtRaw profile type APP1\0"s + profile)), as_stored);
    EXPECT_EQ(
        png_widths(png_chunk("eXIf" + exif_of(3, big)) + png_chunk("tEXtRaw profile type exif\0"s + profile)),
        as_stored)
        << "the chunk of its own comes first";
  }
  std::string wrong = png_chunk("eXIf" + exif_of(8, true));
  wrong.back() = char(wrong.back() ^ 1);
  EXPECT_EQ(png_widths(wrong), as_stored) << "a wrong checksum";
}

TEST_F(Exif, IsFoundInWebp) {
  const std::string file = webp_of(std::vector<uint8_t>(size_t(3 * 2 * 4), 200), 3, 2),
                    image = file.substr(12);
  const auto width_of = [&](char flags, const std::string& name, const std::string& data) {
    const std::string body = "WEBPVP8X"s + little_endian(10, 4) + flags + little_endian(0, 3) +
                             little_endian(2, 3) + little_endian(1, 3) + image + name +
                             little_endian(data.size(), 4) + data + std::string(data.size() % 2, '\0');
    return decode_image("RIFF" + little_endian(body.size(), 4) + body, "p").width;
  };
  constexpr char kExif = 0x08, kXmpFlag = 0x04;
  for (const bool big : {false, true}) {
    EXPECT_EQ(width_of(kExif, "EXIF", exif_of(6, big)), 2);
    EXPECT_EQ(width_of(kExif, "EXIF", kHeader + exif_of(6, big)), 2);
    EXPECT_EQ(width_of(0, "EXIF", exif_of(6, big)), 3) << "not announced";
  }
  EXPECT_EQ(width_of(kXmpFlag, "XMP ", kXmp), 2);
}

// Only where the EXIF data say nothing.
TEST_F(Exif, XmpIsSecond) {
  const std::string xmp = "http://ns.adobe.com/xap/1.0/\0"s + kXmp;
  EXPECT_EQ(jpeg_width(app1(xmp)), 8);
  EXPECT_EQ(jpeg_width(app1("http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>8</tiff:Orientation>"s)), 8);
  EXPECT_EQ(jpeg_width(app1(xmp) + app1(kHeader + exif_of(1, true))), 16);
  EXPECT_EQ(png_widths(png_chunk("iTXtXML:com.adobe.xmp\0\0\0\0\0"s + kXmp)), std::pair(2, 2));
  EXPECT_EQ(png_widths(png_chunk("iTXtXML:com.adobe.xmp\0\1\0\0\0"s + compressed(kXmp))), std::pair(2, 2));
  EXPECT_EQ(orientation_of({}, "tiff:Orientation tiff:Orientation=\"x\""), 1);
}

// A text is inflated only if it may say something, and never to more than a megabyte.
TEST_F(Exif, TextsThatGrowAreLeftOut) {
  const std::string bomb =
      compressed(raw_profile(kHeader + exif_of(8, true)) + std::string(size_t{2} << 20, ' '));
  ASSERT_LT(bomb.size(), 10'000u);
  EXPECT_EQ(png_widths(png_chunk("zTXtRaw profile type exif\0\0"s + bomb)), std::pair(3, 3));
  EXPECT_EQ(png_widths(png_chunk("zTXtComment\0\0"s + bomb)), std::pair(3, 3));
}

TEST_F(Exif, DamageCountsAsNone) {
  for (const std::string& tiff : {""s, "II"s, "MM\0\x2a\xff\xff\xff\xff"s, "II\x2a"s, "XX"s})
    EXPECT_EQ(orientation_of_exif(tiff), 1);
  const std::string good = exif_of(6, false);
  for (size_t count = 0; count < good.size(); ++count) {
    const int orientation = orientation_of_exif(good.substr(0, count));
    EXPECT_TRUE(orientation == 1 || orientation == 6);
  }
  EXPECT_EQ(orientation_of_jpeg("\xff\xd8\xff\xe1"), 1);
  EXPECT_EQ(orientation_of_png("\x89PNG"), 1);
}

}  // namespace
}  // namespace pixart::formats
