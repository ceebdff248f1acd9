#include <gtest/gtest.h>

#include <cstdlib>

#include "pixart/formats/image_file.h"

namespace pixart::formats {
namespace {

Image slope(int height, int width) {
  Image image(height, width);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c) image.at(y, x)[c] = uint8_t((2 * x + 3 * y + 40 * c) % 256 / 2 + 60);
  return image;
}

double mean_difference(const Image& a, const Image& b) {
  double sum = 0;
  for (size_t i = 0; i < a.rgb.size(); ++i) sum += std::abs(int(a.rgb[i]) - int(b.rgb[i]));
  return sum / double(a.rgb.size());
}

TEST(EncodeJpeg, ComesBackNearly) {
  for (const auto& [height, width] : {std::pair{1, 1}, {7, 13}, {64, 48}}) {
    const Image image = slope(height, width);
    const Image back = decode_image(encode_jpeg(image, 95), "jpeg");
    ASSERT_EQ(back.height, height);
    ASSERT_EQ(back.width, width);
    EXPECT_LT(mean_difference(image, back), 6.0);  // of 255; edges of the slope ring
  }
}

TEST(EncodeJpeg, BetterQualityIsLargerAndNearer) {
  const Image image = slope(96, 96);
  const std::string good = encode_jpeg(image, 95), poor = encode_jpeg(image, 10);
  EXPECT_GT(good.size(), poor.size());
  EXPECT_LT(mean_difference(image, decode_image(good, "good")),
            mean_difference(image, decode_image(poor, "poor")));
}

TEST(EncodeJpeg, WhatIsNoImageIsABug) {
  EXPECT_THROW(encode_jpeg(Image(), 90), InternalError);
  EXPECT_THROW(encode_jpeg(slope(2, 2), 0), InternalError);
  EXPECT_THROW(encode_jpeg(slope(2, 2), 101), InternalError);
}

}  // namespace
}  // namespace pixart::formats
