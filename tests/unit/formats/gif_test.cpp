// GIF: the first image, as Pillow shows it, with what is transparent in white.
#include "image_bytes.h"
#include "image_codecs.h"

namespace pixart::formats {
namespace {

struct Gif {
  int width = 3, height = 2, left = 0, top = 0, screen_width = 3, screen_height = 2;
  bool interlaced = false;
  int transparent = -1;
  std::string palette = std::string("\x0a\x14\x1e\xff\0\0\0\xff\0\0\0\xff", 12);  // four colours; "": none
};

// The codes of `indices` (0 to 3), three bits each: a new table begins before they would become longer.
std::string codes_of(const std::vector<int>& indices) {
  constexpr int kClear = 4, kEnd = 5, kBits = 3;
  std::string bytes;
  int count = 0, used = 0, waiting = 0;
  const auto put = [&](int code) {
    waiting |= code << used;
    for (used += kBits; used >= 8; used -= 8, waiting >>= 8) bytes += char(waiting);
  };
  for (const int index : indices) {
    if (count++ % 2 == 0) put(kClear);
    put(index);
  }
  put(kEnd);
  if (used > 0) bytes += char(waiting);
  std::string blocks = "\x02";
  for (size_t at = 0; at < bytes.size(); at += 255) {
    const std::string block = bytes.substr(at, 255);
    blocks += char(block.size()) + block;
  }
  return blocks + '\0';
}

std::string image_of(const Gif& gif, const std::vector<int>& indices) {
  std::string bytes;
  if (gif.transparent >= 0)
    bytes += std::string("!\xf9\x04\x01\0\0", 6) + char(gif.transparent) + std::string(1, '\0');
  bytes += "," + little_endian(gif.left, 2) + little_endian(gif.top, 2) + little_endian(gif.width, 2) +
           little_endian(gif.height, 2) + char(gif.interlaced ? 0x40 : 0);
  return bytes + codes_of(indices);
}

std::string gif_of(const Gif& gif, const std::vector<int>& indices, const std::string& more = "") {
  return "GIF89a" + little_endian(gif.screen_width, 2) + little_endian(gif.screen_height, 2) +
         char(gif.palette.empty() ? 0 : 0x80 | (gif.palette.size() / 6 == 2 ? 1 : 0)) + std::string(2, '\0') +
         gif.palette + image_of(gif, indices) + more + ";";
}

using Rgb = std::vector<uint8_t>;

// The first channel of each pixel: 10, 255 and 0 for the indices 0, 1 and 2 or 3.
Rgb reds(const Image& image) {
  Rgb result;
  for (size_t i = 0; i < image.rgb.size(); i += 3) result.push_back(image.rgb[i]);
  return result;
}

TEST(Gif, ColorsOfThePalette) {
  const Image image = decode_image(gif_of({}, {0, 1, 2, 3, 1, 0}), "p");
  EXPECT_EQ(std::pair(image.height, image.width), std::pair(2, 3));
  EXPECT_EQ(image.rgb, (Rgb{10, 20, 30, 255, 0, 0, 0, 255, 0, 0, 0, 255, 255, 0, 0, 10, 20, 30}));
}

TEST(Gif, IndicesBeyondThePaletteAreBlackAndWithoutPaletteGrey) {
  EXPECT_EQ(decode_image(gif_of({.palette = std::string("\1\2\3\4\5\6", 6)}, {0, 1, 2, 3, 0, 0}), "p").rgb,
            (Rgb{1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 1, 2, 3, 1, 2, 3}));
  EXPECT_EQ(decode_image(gif_of({.palette = ""}, {0, 1, 2, 3, 0, 0}), "p").rgb,
            (Rgb{0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 0, 0, 0, 0, 0, 0}));
}

TEST(Gif, TheFirstImageOfAnAnimationCounts) {
  const Gif gif;
  const std::string first = gif_of(gif, {0, 1, 1, 1, 1, 1}),
                    both = gif_of(gif, {0, 1, 1, 1, 1, 1}, image_of(gif, {2, 2, 2, 2, 2, 2}));
  EXPECT_EQ(decode_image(both, "p").rgb, decode_image(first, "p").rgb);
  EXPECT_EQ(decode_image(both.substr(0, first.size() + 3), "p").rgb, decode_image(first, "p").rgb);
}

TEST(Gif, WhatIsTransparentIsWhite) {
  EXPECT_EQ(reds(decode_image(gif_of({.transparent = 2}, {0, 1, 2, 2, 3, 0}), "p")),
            (Rgb{10, 255, 255, 255, 0, 10}));
}

TEST(Gif, TheImageMayBeSmallerOrLargerThanItsScreen) {
  Gif gif{.width = 1, .height = 1, .left = 1, .top = 1};
  EXPECT_EQ(reds(decode_image(gif_of(gif, {1}), "p")), (Rgb{10, 10, 10, 10, 255, 10}));
  gif.transparent = 0;
  EXPECT_EQ(reds(decode_image(gif_of(gif, {2}), "p")), (Rgb{255, 255, 255, 255, 0, 255}));
  gif.transparent = -1, gif.screen_width = gif.screen_height = 1;
  EXPECT_EQ(reds(decode_image(gif_of(gif, {1}), "p")), (Rgb{10, 10, 10, 255}));
}

TEST(Gif, RowsMayBeInterlaced) {
  const Gif gif{.width = 1, .height = 9, .screen_width = 1, .screen_height = 9, .interlaced = true};
  // Rows 0, 8; 4; 2, 6; 1, 3, 5, 7.
  EXPECT_EQ(reds(decode_image(gif_of(gif, {1, 1, 0, 2, 2, 0, 1, 0, 1}), "p")),
            (Rgb{255, 10, 0, 255, 10, 10, 0, 255, 255}));
}

TEST(Gif, MarksAfterThePixelsMayBeMissing) {
  const std::string good = gif_of({}, {0, 1, 2, 3, 1, 0});
  for (const size_t missing : {1, 2})
    EXPECT_EQ(decode_image(good.substr(0, good.size() - missing), "p").rgb, decode_image(good, "p").rgb)
        << missing;
  EXPECT_EQ(fault_of(good.substr(0, good.size() - 3)), ImageFault::kDamaged)
      << "a part of the pixels' last block";
  // Whole blocks, but too few pixels in them.
  const std::string short_one = gif_of({}, {0, 1, 2});
  EXPECT_EQ(fault_of(short_one), ImageFault::kDamaged);
  EXPECT_EQ(fault_of(short_one.substr(0, short_one.size() - 2)), ImageFault::kDamaged);
}

TEST(Gif, DamageAndSizesAreRefused) {
  const std::string good = gif_of({}, {0, 1, 2, 3, 1, 0});
  for (size_t length = 6; length + 3 < good.size(); ++length)
    EXPECT_EQ(fault_of(good.substr(0, length)), ImageFault::kDamaged) << length;
  EXPECT_EQ(fault_of("GIF89a" + little_endian(3, 2) + little_endian(2, 2) + std::string(3, '\0') + ";"),
            ImageFault::kDamaged);
  EXPECT_EQ(fault_of(gif_of({.screen_width = 40'000}, {0, 0, 0, 0, 0, 0})), ImageFault::kTooLarge);
  EXPECT_EQ(fault_of(gif_of({.left = 40'000}, {0, 0, 0, 0, 0, 0})), ImageFault::kTooLarge);
  EXPECT_EQ(fault_of(good, {.pixels = 5}), ImageFault::kTooLarge);
}

}  // namespace
}  // namespace pixart::formats
