// BMP in the forms that programs of Windows write; pixels as Pillow reads them.
#include "image_bytes.h"
#include "image_codecs.h"

namespace pixart::formats {
namespace {

using Rgb = std::vector<uint8_t>;

struct Bmp {
  int width = 2, height = 2, bits = 24, compression = 0, header = 40;
  uint32_t used_colors = 0;
  std::string after_header = {};  // masks, palette
};

std::string bmp_of(const Bmp& bmp, const std::string& pixels) {
  const std::string sizes =
      little_endian(uint64_t(bmp.width), 4) + little_endian(uint64_t(int64_t(bmp.height)), 4);
  std::string header = little_endian(uint64_t(bmp.header), 4) + sizes + little_endian(1, 2) +
                       little_endian(uint64_t(bmp.bits), 2) + little_endian(uint64_t(bmp.compression), 4) +
                       little_endian(pixels.size(), 4) + std::string(8, '\0') +
                       little_endian(bmp.used_colors, 4) + std::string(4, '\0') + bmp.after_header;
  const size_t offset = 14 + header.size();
  return "BM" + little_endian(offset + pixels.size(), 4) + std::string(4, '\0') + little_endian(offset, 4) +
         header + pixels;
}

Rgb rgb_of(const Bmp& bmp, const std::string& pixels) { return decode_image(bmp_of(bmp, pixels), "p").rgb; }

std::string palette(std::initializer_list<uint32_t> colors) {
  std::string bytes;
  for (const uint32_t color : colors) bytes += little_endian(color, 4);
  return bytes;
}

const std::string kFour = palette({0x0A141E, 0xFF0000, 0x00FF00, 0x0000FF});

TEST(Bmp, RowsComeFromTheBottomOrTheTop) {
  const std::string rows("\1\2\3\4\5\6\0\0\7\x08\x09\x0a\x0b\x0c\0\0", 16);
  const Rgb upper = {3, 2, 1, 6, 5, 4}, lower = {9, 8, 7, 12, 11, 10};
  Rgb from_bottom = lower, from_top = upper;
  from_bottom.insert(from_bottom.end(), upper.begin(), upper.end());
  from_top.insert(from_top.end(), lower.begin(), lower.end());
  EXPECT_EQ(rgb_of({}, rows), from_bottom);
  EXPECT_EQ(rgb_of({.height = -2}, rows), from_top);
  EXPECT_EQ(rgb_of({}, rows.substr(0, 14)), from_bottom) << "without the filling of the last row";
}

TEST(Bmp, PalettesOfOneFourAndEightBits) {
  const Rgb want = {255, 0, 0, 10, 20, 30};
  EXPECT_EQ(
      rgb_of({.height = 1, .bits = 1, .after_header = kFour.substr(0, 8)}, std::string("\x80\0\0\0", 4)),
      want);
  EXPECT_EQ(
      rgb_of({.height = 1, .bits = 4, .used_colors = 4, .after_header = kFour}, std::string("\x10\0\0\0", 4)),
      want);
  EXPECT_EQ(
      rgb_of({.height = 1, .bits = 8, .used_colors = 4, .after_header = kFour}, std::string("\1\0\0\0", 4)),
      want);
  EXPECT_EQ(
      rgb_of({.height = 1, .bits = 8, .used_colors = 4, .after_header = kFour}, std::string("\3\7\0\0", 4)),
      (Rgb{0, 0, 255, 0, 0, 0}))
      << "beyond the palette";
}

TEST(Bmp, SixteenAndThirtyTwoBits) {
  EXPECT_EQ(
      rgb_of({.height = 1, .bits = 16}, little_endian(31 << 10 | 1 << 5 | 16, 2) + little_endian(31, 2)),
      (Rgb{255, 8, 131, 0, 0, 255}));
  const std::string masks565 = palette({0xF800, 0x07E0, 0x001F});
  EXPECT_EQ(rgb_of({.height = 1, .bits = 16, .compression = 3, .after_header = masks565},
                   little_endian(31 << 11 | 32 << 5, 2) + little_endian(1, 2)),
            (Rgb{255, 129, 0, 0, 0, 8}));
  const std::string pixels = little_endian(0x00112233, 4) + little_endian(0x80FF0000, 4);
  EXPECT_EQ(rgb_of({.height = 1, .bits = 32}, pixels), (Rgb{0x11, 0x22, 0x33, 255, 0, 0})) << "no alpha";
  const Bmp with_alpha{.height = 1,
                       .bits = 32,
                       .compression = 3,
                       .header = 108,
                       .after_header = palette({0xFF0000, 0xFF00, 0xFF, 0xFF000000}) + std::string(52, '\0')};
  EXPECT_EQ(rgb_of(with_alpha, pixels), (Rgb{255, 255, 255, 255, 127, 127}));
}

TEST(Bmp, TheOldHeaderOfOs2) {
  const std::string rows("\1\2\3\4\5\6\0\0", 8);
  const std::string file = "BM" + std::string(8, '\0') + little_endian(26, 4) + little_endian(12, 4) +
                           little_endian(2, 2) + little_endian(1, 2) + little_endian(1, 2) +
                           little_endian(24, 2) + rows;
  EXPECT_EQ(decode_image(file, "p").rgb, (Rgb{3, 2, 1, 6, 5, 4}));
}

TEST(Bmp, RunsOfEightAndFourBits) {
  const Bmp eight{
      .width = 4, .height = 2, .bits = 8, .compression = 1, .used_colors = 4, .after_header = kFour};
  const auto first = [](const Rgb& rgb) {
    Rgb reds;
    for (size_t i = 0; i < rgb.size(); i += 3) reds.push_back(rgb[i]);
    return reds;
  };
  // A run, the end of the row; three single pixels, padded; the end.
  EXPECT_EQ(first(rgb_of(eight, std::string("\4\1\0\0\0\3\0\1\2\0\0\1", 12))),
            (Rgb{10, 255, 0, 10, 255, 255, 255, 255}));
  // A move by 2 and 1: what it passes has index 0.
  EXPECT_EQ(first(rgb_of(eight, std::string("\1\1\0\2\2\1\1\1\0\1", 10))),
            (Rgb{10, 10, 10, 255, 255, 10, 10, 10}));
  // Runs beyond the row do no harm.
  EXPECT_EQ(first(rgb_of(eight, std::string("\xff\1\0\0\0\1", 6))),
            (Rgb{10, 10, 10, 10, 255, 255, 255, 255}));
  const Bmp four{
      .width = 4, .height = 1, .bits = 4, .compression = 2, .used_colors = 4, .after_header = kFour};
  EXPECT_EQ(first(rgb_of(four, std::string("\4\x10\0\1", 4))), (Rgb{255, 10, 255, 10}));
  EXPECT_EQ(first(rgb_of(four, std::string("\0\4\x12\x10\0\1", 6))), (Rgb{255, 0, 255, 10}));
}

TEST(Bmp, DamageAndOddKindsAreRefused) {
  const std::string good = bmp_of({}, std::string(16, 'x'));
  for (size_t length = 18; length < good.size() - 2; ++length)
    EXPECT_EQ(fault_of(good.substr(0, length)), ImageFault::kDamaged) << length;
  EXPECT_EQ(fault_of(bmp_of({.bits = 8, .compression = 1, .after_header = std::string(1024, '\0')}, "\2\1")),
            ImageFault::kDamaged);
  EXPECT_EQ(fault_of(bmp_of({.compression = 4}, std::string(16, 'x'))),
            ImageFault::kUnsupported);  // a JPEG within
  EXPECT_EQ(fault_of(bmp_of({.bits = 5}, std::string(16, 'x'))), ImageFault::kUnsupported);
  EXPECT_EQ(fault_of(bmp_of({.width = 40'000}, "")), ImageFault::kTooLarge);
  EXPECT_EQ(fault_of(bmp_of({.width = 30'000, .height = 30'000}, "")), ImageFault::kTooLarge);
  EXPECT_EQ(fault_of(bmp_of({.width = 0}, "")), ImageFault::kDamaged);
  EXPECT_EQ(fault_of(bmp_of({.height = INT32_MIN}, "")), ImageFault::kTooLarge);
}

}  // namespace
}  // namespace pixart::formats
