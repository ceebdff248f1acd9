#include "pixart/data/aspect_bucket.h"

#include <gmock/gmock.h>

#include "pixart/base/error.h"

namespace pixart::data {
namespace {

using ::testing::HasSubstr;
using ::testing::Property;
using ::testing::ThrowsMessage;

TEST(AspectBucket, TablesHaveFortyShapesOfAboutTheSameArea) {
  for (const int resolution : {256, 512, 1024}) {
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
              ThrowsMessage<UserError>(HasSubstr("resolution 300; expected 256, 512 or 1024")));
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
