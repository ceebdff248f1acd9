#include "folder.h"
#include "pixart/demo/scenes.h"

namespace pixart::data {
namespace {

SourceConfig config(int64_t count, demo::SceneStyle style = demo::SceneStyle::kPlain, int64_t seed = 0) {
  SourceConfig result;
  result.name = "scenes";
  result.type = "scenes";
  result.count = count;
  result.style = style;
  result.seed = seed;
  return result;
}

TEST(ScenesSource, SamplesAgreeWithTheirCaptionAndClass) {
  const auto dataset = open_dataset(config(200, demo::SceneStyle::kShaded));
  ASSERT_EQ(dataset->size(), 200);
  EXPECT_EQ(dataset->class_names(), demo::scene_class_names());
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const Row sample = dataset->row(i);
    const Image image = dataset->image(i);
    const demo::Scene scene = demo::parse_scene_caption(dataset->caption(i));
    EXPECT_EQ(sample.label, demo::scene_class(scene.shape, scene.color));
    EXPECT_EQ(sample.label, dataset->label(i));
    EXPECT_EQ(image.height, 32);
    EXPECT_EQ(image.width, 32);
  }
  EXPECT_THROW(dataset->image(200), InternalError);
}

TEST(ScenesSource, StylesShareCaptionsAndDifferInPixels) {
  const auto plain = open_dataset(config(20)), shaded = open_dataset(config(20, demo::SceneStyle::kShaded));
  for (int64_t i = 0; i < plain->size(); ++i) {
    EXPECT_EQ(plain->caption(i), shaded->caption(i));
    EXPECT_NE(plain->image(i).rgb, shaded->image(i).rgb);
  }
}

TEST(ScenesSource, FingerprintFollowsEveryOption) {
  const std::string first = open_dataset(config(20))->fingerprint();
  EXPECT_EQ(open_dataset(config(20))->fingerprint(), first);
  EXPECT_NE(open_dataset(config(21))->fingerprint(), first);
  EXPECT_NE(open_dataset(config(20, demo::SceneStyle::kShaded))->fingerprint(), first);
  EXPECT_NE(open_dataset(config(20, demo::SceneStyle::kPlain, 1))->fingerprint(), first);
  auto fewer = config(20);
  fewer.max_samples = 5;
  EXPECT_EQ(open_dataset(fewer)->size(), 5);
  EXPECT_NE(open_dataset(fewer)->fingerprint(), first);
}

}  // namespace
}  // namespace pixart::data
