#include <gmock/gmock.h>

#include <cmath>

#include "pixart/base/error.h"
#include "pixart/base/random.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/data/transform.h"

namespace pixart::data {
namespace {

using ::testing::ElementsAre;

Image random_image(int height, int width) {
  Image image(height, width);
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = uint8_t(uniform_below({.seed = 1}, 256, i));
  return image;
}

std::pair<int, int> size_of(const Image& image) { return {image.height, image.width}; }

TEST(Resize, SameSizeIsTheSameImage) {
  const Image image = random_image(13, 17);
  EXPECT_EQ(resize(image, 13, 17).rgb, image.rgb);
  EXPECT_EQ(resize(image, 13, 17, Filter::kBilinear).rgb, image.rgb);
}

TEST(Resize, OneColorStaysThatColor) {
  for (const int value : {0, 1, 127, 254, 255})
    for (const auto& [height, width] : {std::pair{3, 40}, {50, 7}, {1, 1}}) {
      const Image result = resize(Image(19, 23, uint8_t(value)), height, width);
      EXPECT_THAT(result.rgb, ::testing::Each(uint8_t(value)));
      EXPECT_EQ(size_of(result), std::pair(height, width));
    }
}

TEST(Resize, BilinearHalvesWithTheTriangleOverFourPixels) {
  Image row(1, 4);
  const std::vector<uint8_t> values = {0, 80, 160, 240};
  for (int x = 0; x < 4; ++x) std::fill_n(row.at(0, x), 3, values[size_t(x)]);
  // Centre 1, taps 0 to 2 at distances 0.25, 0.25, 0.75 of the filter: weights 3/7, 3/7, 1/7.
  const Image half = resize(row, 1, 2, Filter::kBilinear);
  EXPECT_EQ(half.at(0, 0)[0], 57);
  EXPECT_EQ(half.at(0, 1)[0], 183);
}

TEST(Resize, BicubicOvershootIsClipped) {
  Image edge(1, 8);
  for (int x = 4; x < 8; ++x) std::fill_n(edge.at(0, x), 3, uint8_t(255));
  const Image twice = resize(edge, 1, 16);
  EXPECT_EQ(twice.at(0, 0)[0], 0);
  EXPECT_EQ(twice.at(0, 15)[0], 255);
  EXPECT_GT(twice.at(0, 8)[0], 128);
  EXPECT_LT(twice.at(0, 7)[0], 128);
}

TEST(Resize, ChannelsDoNotMix) {
  Image image(9, 9);
  for (int y = 0; y < 9; ++y)
    for (int x = 0; x < 9; ++x) image.at(y, x)[1] = uint8_t(20 * x);
  const Image result = resize(image, 5, 4);
  for (int y = 0; y < 5; ++y)
    for (int x = 0; x < 4; ++x) {
      EXPECT_EQ(result.at(y, x)[0], 0);
      EXPECT_EQ(result.at(y, x)[2], 0);
    }
}

TEST(Resize, SizesThatCannotBeAreRefused) {
  EXPECT_THROW(resize(Image(2, 2), 0, 5), InternalError);
  EXPECT_THROW(resize(Image(), 5, 5), InternalError);
  EXPECT_THROW(resize_short_side(Image(1, 32768), 100'000), UserError);
  EXPECT_THROW(center_crop(Image(4, 4), 5, 4), InternalError);
}

TEST(Resize, ShortSideRoundsTheOtherDown) {
  EXPECT_EQ(size_of(resize_short_side(Image(95, 180), 64)), std::pair(64, 121));
  EXPECT_EQ(size_of(resize_short_side(Image(180, 95), 64)), std::pair(121, 64));
  EXPECT_EQ(size_of(resize_short_side(Image(30, 30), 64)), std::pair(64, 64));
}

TEST(Resize, CoverHasOneSideExactAndTheOtherAtLeast) {
  EXPECT_EQ(size_of(resize_to_cover(Image(95, 180), 48, 84)), std::pair(48, 90));
  EXPECT_EQ(size_of(resize_to_cover(Image(95, 180), 44, 88)), std::pair(46, 88));
  EXPECT_EQ(size_of(resize_to_cover(Image(101, 101), 68, 60)), std::pair(68, 68));
  EXPECT_EQ(size_of(resize_to_cover(Image(10, 20), 5, 10)), std::pair(5, 10));
}

TEST(Resize, CenterCropRoundsHalfToEven) {
  Image row(1, 12);
  for (int x = 0; x < 12; ++x) std::fill_n(row.at(0, x), 3, uint8_t(x));
  const auto first = [&](int width) { return int(center_crop(row, 1, width).at(0, 0)[0]); };
  EXPECT_EQ(first(12), 0);
  EXPECT_EQ(first(11), 0);  // 0.5
  EXPECT_EQ(first(10), 1);
  EXPECT_EQ(first(9), 2);  // 1.5
  EXPECT_EQ(first(8), 2);
  EXPECT_EQ(first(7), 2);  // 2.5
}

TEST(Resize, CoverAndCropIsTheResizedImagesMiddle) {
  for (const auto& [height, width] : {std::pair{40, 57}, {57, 40}, {16, 16}, {5, 9}, {301, 90}})
    for (const auto& [rows, columns] : {std::pair{16, 16}, {16, 11}, {9, 23}, {40, 1}, {1, 40}, {64, 64}})
      for (const Filter filter : {Filter::kBicubic, Filter::kBilinear}) {
        const Image image = random_image(height, width);
        const Image want = center_crop(resize_to_cover(image, rows, columns, filter), rows, columns);
        EXPECT_EQ(cover_and_crop(formats::whole(image), rows, columns, filter).rgb, want.rgb);
      }
  EXPECT_EQ(cover_and_crop(formats::whole(random_image(40, 57)), 16, 16).rgb,
            center_crop(resize_short_side(random_image(40, 57), 16), 16, 16).rgb);
}

// Waves of 40 pixels and more: where they lie is what counts.
Image waves(int height, int width) {
  Image image(height, width);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < 3; ++c)
        image.at(y, x)[c] = uint8_t(std::lround(127 + 60 * std::sin(x / 6.5 + c) + 60 * std::cos(y / 7.5)));
  return image;
}

// Means of 2 x 2 pixels; beyond the edge, the last ones go on.
formats::ReducedImage halved(const Image& image) {
  formats::ReducedImage half = {.image = Image((image.height + 1) / 2, (image.width + 1) / 2),
                                .full_height = image.height,
                                .full_width = image.width,
                                .reduction = 2};
  for (int y = 0; y < half.image.height; ++y)
    for (int x = 0; x < half.image.width; ++x)
      for (int c = 0; c < 3; ++c) {
        int sum = 2;
        for (int i = 0; i < 4; ++i)
          sum += image.at(std::min(2 * y + i / 2, image.height - 1),
                          std::min(2 * x + i % 2, image.width - 1))[c];
        half.image.at(y, x)[c] = uint8_t(sum / 4);
      }
  return half;
}

// 300 x 449: the whole image becomes 64 x 95, and a half taken for a whole one of 150 x 225 would become 64
// x 96.
TEST(Resize, ReducedImagesAreCutAtTheSamePlace) {
  for (const auto& [height, width] : {std::pair{300, 449}, {449, 300}, {333, 333}, {320, 480}}) {
    const Image image = waves(height, width);
    const Image want = cover_and_crop(formats::whole(image), 64, 64),
                got = cover_and_crop(halved(image), 64, 64);
    double difference = 0;
    for (size_t i = 0; i < want.rgb.size(); ++i) difference += std::abs(int(want.rgb[i]) - int(got.rgb[i]));
    EXPECT_LT(difference / double(want.rgb.size()), 0.5) << height << " x " << width;
  }
}

TEST(Resize, CropsAtAPlaceAreWindowsOfTheWholeImage) {
  const Image image = waves(100, 157);
  const auto whole = formats::whole(image);
  const Image covered = resize_to_cover(image, 64, 64);  // 64 x 100: 37 places
  ASSERT_EQ(size_of(covered), std::pair(64, 100));
  const auto window = [&](int left) {
    Image cut(64, 64);
    for (int y = 0; y < 64; ++y) std::copy_n(covered.at(y, left), 3 * 64, cut.at(y, 0));
    return cut.rgb;
  };
  const auto cut_at = [&](double left) {
    return cover_and_crop(whole, 64, 64, Filter::kBicubic, CropPlace{.top = 0.5, .left = left}).rgb;
  };
  EXPECT_EQ(cut_at(0), window(0));
  EXPECT_EQ(cut_at(0.999 / 37), window(0));
  EXPECT_EQ(cut_at(1.001 / 37), window(1));
  EXPECT_EQ(cut_at(18.5 / 37), cover_and_crop(whole, 64, 64).rgb);  // the middle one
  EXPECT_EQ(cut_at(0.9999), window(36));
  EXPECT_EQ(cut_at(1), window(36));
}

// The shorter side of the resized image may be a little longer than the resolution.
TEST(Resize, DecodeSideSufficesForEveryBucket) {
  for (const int resolution : {256, 512, 1024, 2048}) {
    const auto& buckets = aspect_buckets(resolution);
    for (int i = 0; i < 400; ++i) {
      const int width = 3000, height = int(std::lround(width * std::pow(2, (i - 200) / 80.0)));
      const auto& bucket = buckets[nearest_bucket(buckets, height, width)];
      const auto [rows, columns] = cover_size(height, width, bucket.height, bucket.width);
      EXPECT_GE(decode_side(resolution), 2.2 * std::min(rows, columns)) << resolution << " " << height;
    }
  }
}

}  // namespace
}  // namespace pixart::data
