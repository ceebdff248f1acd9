#include "pixart/data/training_shapes.h"

#include <gmock/gmock.h>

#include <map>

#include "pixart/base/error.h"
#include "pixart/base/random.h"

namespace pixart::data {
namespace {

TrainingShapes shapes(std::vector<ResolutionShare> resolutions, bool aspect_buckets = false,
                      ResolutionRule rule = ResolutionRule::kLargest) {
  return TrainingShapes({std::move(resolutions), aspect_buckets, rule});
}

TEST(TrainingShapes, OneResolutionHasTheShapesOfItsTable) {
  const auto square = shapes({{.side = 300}});
  ASSERT_EQ(square.size(), 1);
  EXPECT_EQ(square.at(0).height, 300);
  EXPECT_EQ(square.at(0).width, 300);
  EXPECT_EQ(square.at(0).ratio, 1);
  EXPECT_EQ(square.bucket_of(3, 1000), 0);
  const auto& table = aspect_buckets(512);
  const auto buckets = shapes({{.side = 512}}, true);
  ASSERT_EQ(buckets.size(), table.size());
  for (const auto& [height, width] : {std::pair{10, 10}, {1, 4}, {4, 1}, {600, 800}}) {
    const size_t bucket = buckets.bucket_of(height, width);
    EXPECT_EQ(bucket, nearest_bucket(table, height, width));
    EXPECT_EQ(buckets.at(bucket).key, table[bucket].key);
  }
}

TEST(TrainingShapes, AnImageHasTheLargestResolutionThatItFills) {
  const auto squares = shapes({{.side = 256}, {.side = 512}, {.side = 1024}});
  ASSERT_EQ(squares.size(), 3);
  const std::map<std::pair<int, int>, int> sides = {
      {{100, 100}, 256},   {{256, 4000}, 256},   {{511, 512}, 256},    {{512, 512}, 512},
      {{4000, 1023}, 512}, {{1024, 1024}, 1024}, {{3000, 2000}, 1024}, {{200, 3000}, 256}};
  for (const auto& [size, side] : sides)
    EXPECT_EQ(squares.side(squares.bucket_of(size.first, size.second)), side)
        << size.first << " " << size.second;
}

// An image of a bucket is never enlarged, unless it is smaller than the smallest one.
TEST(TrainingShapes, BucketsOfEachResolutionAndRatio) {
  const auto all = shapes({{.side = 256}, {.side = 512}, {.side = 1024}}, true);
  ASSERT_EQ(all.size(), 120);
  for (uint64_t i = 0; i < 5000; ++i) {
    const int height = 64 + int(uniform_below({1, i, Purpose::kTest}, 2000)),
              width = 64 + int(uniform_below({2, i, Purpose::kTest}, 2000));
    const size_t bucket = all.bucket_of(height, width), level = all.level(bucket);
    const auto& shape = all.at(bucket);
    EXPECT_EQ(shape.key, aspect_buckets(256)[nearest_bucket(aspect_buckets(256), height, width)].key);
    EXPECT_EQ(all.side(bucket), 256 << level);
    EXPECT_TRUE(level == 0 || (shape.height <= height && shape.width <= width)) << height << " " << width;
    if (level == 2) continue;
    const auto& larger = all.at(bucket + 40);
    EXPECT_TRUE(larger.height > height || larger.width > width) << height << " " << width;
  }
}

TEST(TrainingShapes, SharesDealImagesOutByTheirKeys) {
  const auto all = shapes({{256, 1}, {512, 2}, {1024, 1}}, false, ResolutionRule::kShare);
  EXPECT_TRUE(all.reads_keys());
  std::map<int, int> large, middle;
  for (int i = 0; i < 8000; ++i) {
    const std::string key = "folder/" + std::to_string(i) + ".jpg";
    const auto bucket = all.bucket_of(1500, 1500, key);
    EXPECT_EQ(bucket, all.bucket_of(1600, 1024, key)) << "the key alone decides";
    ++large[all.side(bucket)];
    ++middle[all.side(all.bucket_of(600, 600, key))];
    EXPECT_EQ(all.bucket_of(100, 600, key), 0);
  }
  EXPECT_NEAR(large[256], 2000, 200);  // five deviations
  EXPECT_NEAR(large[512], 4000, 225);
  EXPECT_NEAR(middle[256], 2667, 215);
  EXPECT_EQ(middle[256] + middle[512], 8000) << "what an image does not fill, it does not have";
}

// Feature sets depend on it.
TEST(TrainingShapes, TheDrawOfAKeyNeverChanges) {
  const auto all = shapes({{256, 1}, {512, 1}}, false, ResolutionRule::kShare);
  std::string sides;
  for (int i = 0; i < 24; ++i) sides += std::to_string(all.bucket_of(512, 512, std::to_string(i) + ".png"));
  EXPECT_EQ(sides, "001101010001111100101100");
}

TEST(TrainingShapes, RefusesWhatTheConfigShouldHaveRefused) {
  EXPECT_THROW(shapes({}), InternalError);
  EXPECT_THROW(shapes({{.side = 512}, {.side = 256}}), InternalError);
  EXPECT_THROW(shapes({{.side = 256}, {.side = 300}}, true), UserError);
  std::vector<ResolutionShare> many;
  for (int i = 0; i < int(kMostResolutions) + 1; ++i) many.push_back({.side = 64 + i});
  EXPECT_THROW(shapes(many), InternalError);
}

}  // namespace
}  // namespace pixart::data
