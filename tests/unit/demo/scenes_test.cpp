#include "pixart/demo/scenes.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "pixart/base/error.h"

namespace pixart::demo {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<int> pixel(const Image& image, int y, int x) {
  return {image.at(y, x)[0], image.at(y, x)[1], image.at(y, x)[2]};
}

TEST(Scenes, ThirteenClassesWithoutTheHeldOutPairs) {
  std::set<int> classes;
  int held_out = 0;
  for (int shape = 0; shape < 4; ++shape)
    for (int color = 0; color < 4; ++color) {
      const int label = scene_class(shape, color);
      EXPECT_EQ(label < 0, is_held_out(shape, color));
      held_out += label < 0;
      if (label < 0) continue;
      classes.insert(label);
      EXPECT_EQ(scene_class_names().at(size_t(label)),
                scene_colors()[size_t(color)] + " " + scene_shapes()[size_t(shape)]);
    }
  EXPECT_EQ(held_out, 3);
  EXPECT_EQ(classes.size(), 13u);
  EXPECT_EQ(*classes.rbegin(), 12);
  EXPECT_EQ(scene_class_names().size(), 13u);
  EXPECT_TRUE(is_held_out(0, 2));
  EXPECT_TRUE(is_held_out(2, 0));
  EXPECT_TRUE(is_held_out(3, 3));
}

TEST(Scenes, CaptionsReadBack) {
  EXPECT_EQ(scene_caption({.shape = 0, .color = 0, .background = 1}), "a red circle on a white background");
  for (int shape = 0; shape < 4; ++shape)
    for (int color = 0; color < 4; ++color)
      for (int background = 0; background < 3; ++background) {
        const Scene scene =
            parse_scene_caption(scene_caption({.shape = shape, .color = color, .background = background}));
        EXPECT_EQ(scene.shape, shape);
        EXPECT_EQ(scene.color, color);
        EXPECT_EQ(scene.background, background);
      }
  for (const char* wrong :
       {"", "a red circle", "a pink circle on a white background", "A red circle on a white background "})
    EXPECT_THROW(parse_scene_caption(wrong), UserError) << wrong;
}

TEST(Scenes, ParametersStayInTheirRangesAndCoverThem) {
  std::set<std::pair<int, int>> pairs;
  std::set<int> backgrounds;
  float smallest = 99, largest = 0;
  for (int64_t i = 0; i < 2000; ++i) {
    const Scene scene = draw_scene_parameters(3, i, false);
    EXPECT_FALSE(is_held_out(scene.shape, scene.color)) << i;
    pairs.insert({scene.shape, scene.color});
    backgrounds.insert(scene.background);
    EXPECT_LE(std::abs(scene.x - 16), 2);
    EXPECT_LE(std::abs(scene.y - 16), 2);
    smallest = std::min(smallest, scene.radius);
    largest = std::max(largest, scene.radius);
  }
  EXPECT_EQ(pairs.size(), 13u);
  EXPECT_EQ(backgrounds.size(), 3u);
  EXPECT_NEAR(smallest, 9.5, 0.02);
  EXPECT_NEAR(largest, 11, 0.02);
}

TEST(Scenes, ParametersDependOnSeedAndIndexOnly) {
  const Scene one = draw_scene_parameters(3, 7, false), again = draw_scene_parameters(3, 7, true);
  EXPECT_EQ(one.x, again.x);
  EXPECT_EQ(one.radius, again.radius);
  EXPECT_EQ(scene_caption(one), scene_caption(again));
  EXPECT_TRUE(again.shaded);
  EXPECT_NE(one.x, draw_scene_parameters(3, 8, false).x);
  EXPECT_NE(one.x, draw_scene_parameters(4, 7, false).x);
}

TEST(Scenes, PlainImagesHaveTheTablesColors) {
  const Image image = draw_scene({.shape = 1, .color = 3, .background = 2});
  EXPECT_EQ(image.height, 32);
  EXPECT_EQ(image.width, 32);
  EXPECT_THAT(pixel(image, 0, 0), ElementsAre(128, 128, 128));
  EXPECT_THAT(pixel(image, 31, 31), ElementsAre(128, 128, 128));
  EXPECT_THAT(pixel(image, 16, 16), ElementsAre(45, 95, 235));
  EXPECT_THAT(pixel(draw_scene({.shape = 0, .color = 1, .background = 0}), 16, 16),
              ElementsAre(250, 225, 60));
  EXPECT_THAT(pixel(draw_scene({.shape = 3, .color = 2, .background = 1}), 16, 7), ElementsAre(45, 175, 70));
  EXPECT_THAT(pixel(draw_scene({.shape = 3, .color = 2, .background = 1}), 9, 9), ElementsAre(245, 245, 245));
}

// Covered pixels of a red shape on black, from the red channel: edges count in part, so the sum is the area.
double area(int shape, int size) {
  const Image image = draw_scene({.shape = shape, .color = 0, .background = 0}, size);
  double sum = 0;
  for (int y = 0; y < size; ++y)
    for (int x = 0; x < size; ++x) sum += (image.at(y, x)[0] - 12.0) / (220 - 12);
  return sum * 32 * 32 / (size * size);
}

TEST(Scenes, AntiAliasedAreasAreThoseOfTheShapesAtAnySize) {
  const std::vector<double> expected = {M_PI * 100, 17.0 * 17, 3 * std::sqrt(3.0) * 5.75 * 5.75,
                                        2 * 20 * 7.2 - 7.2 * 7.2};
  for (int shape = 0; shape < 4; ++shape)
    for (const int size : {16, 32, 48, 128, 500})
      EXPECT_NEAR(area(shape, size), expected[size_t(shape)], 0.015 * expected[size_t(shape)])
          << shape << " " << size;
}

TEST(Scenes, ShadedImagesHaveLightAndAGradedBackground) {
  const Image image = draw_scene({.shape = 1, .color = 0, .background = 2, .shaded = true});
  EXPECT_GT(image.at(0, 5)[0], image.at(31, 5)[0] + 15);
  EXPECT_GT(image.at(9, 9)[0], image.at(22, 22)[0] + 40);
  for (int y = 1; y < 32; ++y) EXPECT_LE(std::abs(image.at(y, 1)[0] - image.at(y - 1, 1)[0]), 2) << y;
}

TEST(Scenes, WrongCaptionNamesTheForm) {
  try {
    parse_scene_caption("a dog");
    ADD_FAILURE() << "not refused";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("a red circle on a white background"));
  }
}

}  // namespace
}  // namespace pixart::demo
