#include "pixart/data/aspect_bucket.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "pixart/base/error.h"

namespace pixart::data {
namespace {

using ::testing::HasSubstr;
using ::testing::Property;
using ::testing::ThrowsMessage;

TEST(AspectBucket, TablesHaveFortyShapesOfAboutTheSameArea) {
  for (const int resolution : {256, 512, 1024, 2048}) {
    const auto& buckets = aspect_buckets(resolution);
    EXPECT_EQ(buckets.size(), 40);
    for (const auto& bucket : buckets) {
      EXPECT_NEAR(double(bucket.height) * bucket.width / (resolution * resolution), 1, 0.14) << bucket.key;
      EXPECT_EQ(bucket.height % 8, 0);
      EXPECT_EQ(bucket.width % 8, 0);
    }
    EXPECT_EQ(inference_aspect_buckets(resolution).size(), 33);
  }
  EXPECT_FALSE(has_aspect_buckets(64));
  EXPECT_THAT([] { aspect_buckets(300); },
              ThrowsMessage<UserError>(
                  HasSubstr("resolution 300 has no aspect buckets; expected one of 256, 512, 1024, 2048")));
}

// PixArt-Sigma's loader takes Lanczos at 2048 pixels, which is sharper at an edge and overshoots.
TEST(AspectBucket, OnlyImagesOf2048PixelsAreResizedWithLanczos) {
  for (const int resolution : {256, 512, 1024, 2048})
    for (const auto& bucket : aspect_buckets(resolution))
      EXPECT_EQ(bucket.filter, resolution == 2048 ? Filter::kLanczos : Filter::kBicubic) << bucket.key;
  Image edge(8, 8, 40);
  for (int row = 0; row < 8; ++row) std::fill_n(edge.at(row, 4), 12, uint8_t{200});
  AspectBucket bucket = aspect_buckets(2048).front();
  bucket.height = bucket.width = 32;
  const Image lanczos = resize_to_bucket(formats::whole(edge), bucket);
  EXPECT_EQ(lanczos.rgb, resize_to_cover(edge, 32, 32, Filter::kLanczos).rgb);
  EXPECT_NE(lanczos.rgb, resize_to_cover(edge, 32, 32, Filter::kBicubic).rgb);
  const auto [least, most] = std::ranges::minmax(lanczos.rgb);
  EXPECT_LT(least, 40);
  EXPECT_GT(most, 200);
}

TEST(AspectBucket, ImagesAreCutToTheNearestShape) {
  const auto& buckets = aspect_buckets(256);
  const auto& wide = buckets[nearest_bucket(buckets, 300, 600)];
  EXPECT_EQ(wide.key, "0.5");
  const Image cut = resize_to_bucket(formats::whole(Image(300, 600, 200)), wide);
  EXPECT_EQ(cut.height, wide.height);
  EXPECT_EQ(cut.width, wide.width);
  EXPECT_EQ(cut.rgb.front(), 200);
  EXPECT_EQ(buckets[nearest_bucket(buckets, 1, 30000)].key, "0.25");
  EXPECT_EQ(buckets[nearest_bucket(buckets, 30000, 1)].key, "4.0");
}

}  // namespace
}  // namespace pixart::data
