// TIFF: the first page, in the kinds of colours and layouts that Pillow reads. The files are made by hand and
// by libtiff.
#include <tiffio.h>

#include <map>

#include "image_bytes.h"
#include "image_codecs.h"

namespace pixart::formats {
namespace {

using namespace std::string_literals;
using Rgb = std::vector<uint8_t>;
using Tags = std::map<uint16_t, std::vector<uint32_t>>;

// One page of one strip. Tags of TIFF 6.0; LONG for all, which every reader takes.
std::string tiff_of(Tags tags, const std::string& pixels, bool big = false) {
  const auto number = [&](uint64_t value, int count) {
    std::string bytes = little_endian(value, count);
    return big ? std::string(bytes.rbegin(), bytes.rend()) : bytes;
  };
  tags.insert({{278, {tags[257][0]}}, {279, {uint32_t(pixels.size())}}, {273, {0}}, {259, {1}}, {277, {1}}});
  const size_t values_at = 8 + 2 + 12 * tags.size() + 4;
  size_t more = 0;
  for (const auto& [tag, values] : tags) more += values.size() > 1 ? 4 * values.size() : 0;
  tags[273] = {uint32_t(values_at + more)};
  std::string entries, values_after;
  for (const auto& [tag, values] : tags) {
    entries += number(tag, 2) + number(4, 2) + number(values.size(), 4);
    if (values.size() == 1) {
      entries += number(values[0], 4);
      continue;
    }
    entries += number(values_at + values_after.size(), 4);
    for (const uint32_t value : values) values_after += number(value, 4);
  }
  return (big ? "MM" : "II") + number(42, 2) + number(8, 4) + number(tags.size(), 2) + entries +
         number(0, 4) + values_after + pixels;
}

Rgb rgb_of(const Tags& tags, const std::string& pixels, bool big = false) {
  return decode_image(tiff_of(tags, pixels, big), "p").rgb;
}

// Two pixels beside each other.
Tags pair_of(uint32_t colors, uint32_t samples, uint32_t bits) {
  return {
      {256, {2}}, {257, {1}}, {258, std::vector<uint32_t>(samples, bits)}, {262, {colors}}, {277, {samples}}};
}

constexpr uint32_t kWhiteIsZero = 0, kBlackIsZero = 1, kRgb = 2, kPalette = 3, kCmyk = 5;

TEST(Tiff, GreyOfEachDepth) {
  for (const bool big : {false, true}) {
    EXPECT_EQ(rgb_of(pair_of(kBlackIsZero, 1, 8), "\x0a\xff", big), (Rgb{10, 10, 10, 255, 255, 255}));
    EXPECT_EQ(rgb_of(pair_of(kWhiteIsZero, 1, 8), "\x0a\xff", big), (Rgb{245, 245, 245, 0, 0, 0}));
    EXPECT_EQ(rgb_of(pair_of(kBlackIsZero, 1, 1), "\x40", big), (Rgb{0, 0, 0, 255, 255, 255}));
    EXPECT_EQ(rgb_of(pair_of(kBlackIsZero, 1, 2), "\x60", big), (Rgb{85, 85, 85, 170, 170, 170}));
    EXPECT_EQ(rgb_of(pair_of(kBlackIsZero, 1, 4), "\x1f", big), (Rgb{17, 17, 17, 255, 255, 255}));
  }
  EXPECT_EQ(rgb_of(pair_of(kBlackIsZero, 1, 16), "\xff\x12\0\xff"s, false),
            (Rgb{0x12, 0x12, 0x12, 255, 255, 255}));
  EXPECT_EQ(rgb_of(pair_of(kBlackIsZero, 1, 16), "\x12\xff\xff\0"s, true),
            (Rgb{0x12, 0x12, 0x12, 255, 255, 255}));
}

TEST(Tiff, Colors) {
  EXPECT_EQ(rgb_of(pair_of(kRgb, 3, 8), "\1\2\3\4\5\6"), (Rgb{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(rgb_of(pair_of(kCmyk, 4, 8), std::string("\0\xff\0\0\0\0\0\x80", 8)),
            (Rgb{255, 0, 255, 127, 127, 127}));
  Tags indexed = pair_of(kPalette, 1, 4);
  indexed[320] = std::vector<uint32_t>(48, 0);
  indexed[320][1] = 0x0A00, indexed[320][16 + 1] = 0x1400, indexed[320][32 + 1] = 0x1EFF,
  indexed[320][2] = 0xFFFF;
  EXPECT_EQ(rgb_of(indexed, "\x12"), (Rgb{10, 20, 30, 255, 0, 0}));
}

TEST(Tiff, FurtherSamplesAreAlphaOrNothing) {
  const std::string pixels = "\x64\x64\x64\x80\x64\x64\x64\xff"s;
  Tags tags = pair_of(kRgb, 4, 8);
  constexpr uint8_t kHalf = 177;  // (100 * 128 + 255 * 127) / 255
  EXPECT_EQ(rgb_of(tags, pixels), (Rgb{kHalf, kHalf, kHalf, 100, 100, 100})) << "not described: alpha";
  tags[338] = {2};
  EXPECT_EQ(rgb_of(tags, pixels), (Rgb{kHalf, kHalf, kHalf, 100, 100, 100}));
  tags[338] = {1};  // multiplied: 100 + 127
  EXPECT_EQ(rgb_of(tags, pixels), (Rgb{227, 227, 227, 100, 100, 100}));
  tags[338] = {0};
  EXPECT_EQ(rgb_of(tags, pixels), Rgb(6, 100));
}

// Writes with libtiff into a file, and decodes that.
class WrittenTiff : public Folder {
 protected:
  Image decoded(const Image& image, uint16_t compression, bool tiled, bool apart = false) const {
    const auto path = folder_ / "a.tif";
    TIFF* tiff = TIFFOpen(path.c_str(), "w");
    EXPECT_NE(tiff, nullptr);
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, image.width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, image.height);
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, 3);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_RGB);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, apart ? PLANARCONFIG_SEPARATE : PLANARCONFIG_CONTIG);
    TIFFSetField(tiff, TIFFTAG_COMPRESSION, compression);
    if (tiled) {
      TIFFSetField(tiff, TIFFTAG_TILEWIDTH, kTile);
      TIFFSetField(tiff, TIFFTAG_TILELENGTH, kTile);
    } else {
      TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 5);
    }
    tiled ? write_tiles(tiff, image, apart) : write_rows(tiff, image, apart);
    TIFFClose(tiff);
    return decode_image(read(path), "p");
  }

 private:
  static constexpr int kTile = 16;

  static void write_rows(TIFF* tiff, const Image& image, bool apart) {
    for (int plane = 0; plane < (apart ? 3 : 1); ++plane)
      for (int y = 0; y < image.height; ++y) {
        std::vector<uint8_t> row;
        for (int x = 0; x < image.width; ++x)
          for (int c = apart ? plane : 0; c < (apart ? plane + 1 : 3); ++c) row.push_back(image.at(y, x)[c]);
        TIFFWriteScanline(tiff, row.data(), uint32_t(y), uint16_t(plane));
      }
  }
  static void write_tiles(TIFF* tiff, const Image& image, bool apart) {
    for (int plane = 0; plane < (apart ? 3 : 1); ++plane)
      for (int top = 0; top < image.height; top += kTile)
        for (int left = 0; left < image.width; left += kTile) {
          std::vector<uint8_t> tile;
          for (int y = top; y < top + kTile; ++y)
            for (int x = left; x < left + kTile; ++x)
              for (int c = apart ? plane : 0; c < (apart ? plane + 1 : 3); ++c)
                tile.push_back(y < image.height && x < image.width ? image.at(y, x)[c] : 0);
          TIFFWriteTile(tiff, tile.data(), uint32_t(left), uint32_t(top), 0, uint16_t(plane));
        }
  }
};

TEST_F(WrittenTiff, StripsTilesAndCompression) {
  const Image image = gradient(37, 41);
  for (const uint16_t compression :
       {COMPRESSION_NONE, COMPRESSION_LZW, COMPRESSION_ADOBE_DEFLATE, COMPRESSION_PACKBITS})
    for (const bool tiled : {false, true})
      for (const bool apart : {false, true})
        EXPECT_EQ(decoded(image, compression, tiled, apart).rgb, image.rgb) << compression << tiled << apart;
}

TEST(Tiff, OrientationIsApplied) {
  Tags tags = pair_of(kRgb, 3, 8);
  tags[274] = {2};
  EXPECT_EQ(rgb_of(tags, "\1\2\3\4\5\6"), (Rgb{4, 5, 6, 1, 2, 3}));
  tags[274] = {6};
  const Image turned = decode_image(tiff_of(tags, "\1\2\3\4\5\6"), "p");
  EXPECT_EQ(std::pair(turned.height, turned.width), std::pair(2, 1));
  tags[274] = {99};
  EXPECT_EQ(rgb_of(tags, "\1\2\3\4\5\6"), (Rgb{1, 2, 3, 4, 5, 6}));
}

TEST(Tiff, DamageAndSizesAreRefused) {
  const std::string good = tiff_of(pair_of(kRgb, 3, 8), "\1\2\3\4\5\6");
  for (size_t length = 8; length < good.size(); ++length)
    EXPECT_EQ(fault_of(good.substr(0, length)), ImageFault::kDamaged) << length;
  const auto sized = [](uint32_t width, uint32_t height, Tags more = {}) {
    more.insert({{256, {width}}, {257, {height}}, {258, {8}}, {262, {kBlackIsZero}}});
    return fault_of(tiff_of(more, "x"));
  };
  EXPECT_EQ(sized(40'000, 1), ImageFault::kTooLarge);
  EXPECT_EQ(sized(30'000, 30'000), ImageFault::kTooLarge);
  EXPECT_NE(sized(0xFFFFFFFF, 0xFFFFFFFF), std::nullopt);
  // A tile of 4 GB for one pixel.
  EXPECT_NE(sized(1, 1, {{322, {65'536}}, {323, {65'536}}, {324, {8}}, {325, {1}}}), std::nullopt);
  EXPECT_EQ(fault_of(tiff_of(pair_of(kRgb, 3, 32), std::string(24, 'x'))), ImageFault::kUnsupported);
  EXPECT_EQ(fault_of(tiff_of(pair_of(/*CIE L*a*b*/ 8, 3, 8), std::string(6, 'x'))), ImageFault::kUnsupported);
  Tags fraction = pair_of(kBlackIsZero, 1, 16);
  fraction[339] = {3};
  EXPECT_EQ(fault_of(tiff_of(fraction, std::string(4, 'x'))), ImageFault::kUnsupported);
}

}  // namespace
}  // namespace pixart::formats
