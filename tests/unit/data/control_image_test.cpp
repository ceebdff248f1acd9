#include "pixart/data/control_image.h"

#include <gmock/gmock.h>

#include <algorithm>

namespace pixart::data {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A white square of rows and columns 8 to 15 on black.
Image square() {
  Image image(24, 24, 0);
  for (int row = 8; row < 16; ++row)
    for (int col = 8; col < 16; ++col)
      for (int channel = 0; channel < 3; ++channel)
        image.rgb[3 * (size_t(row) * 24 + size_t(col)) + size_t(channel)] = 255;
  return image;
}

uint8_t at(const Image& image, int row, int col) { return image.rgb[3 * (size_t(row) * 24 + size_t(col))]; }

TEST(ControlImage, CannyShowsEdgesAlone) {
  const Image edges = control_image(square(), {.condition = ControlCondition::kCanny});
  EXPECT_EQ(edges.height, 24);
  EXPECT_EQ(edges.width, 24);
  for (const uint8_t value : edges.rgb) EXPECT_TRUE(value == 0 || value == 255) << int(value);
  EXPECT_EQ(at(edges, 12, 12), 0) << "inside";
  EXPECT_EQ(at(edges, 2, 2), 0) << "outside";
  for (int along = 10; along < 14; ++along) {
    EXPECT_EQ(std::max({at(edges, 7, along), at(edges, 8, along)}), 255) << "upper edge, column " << along;
    EXPECT_EQ(std::max({at(edges, along, 15), at(edges, along, 16)}), 255) << "right edge, row " << along;
  }
  for (size_t i = 0; i < edges.rgb.size(); i += 3) EXPECT_EQ(edges.rgb[i], edges.rgb[i + 2]) << "gray";
}

TEST(ControlImage, ThresholdsDecideWhatIsAnEdge) {
  Image faint = square();
  for (auto& value : faint.rgb) value = value == 255 ? 20 : 0;
  EXPECT_THAT(control_image(faint, {.condition = ControlCondition::kCanny}).rgb, Each(0));
  const Image edges = control_image(faint, {.condition = ControlCondition::kCanny, .low = 10, .high = 20});
  EXPECT_GT(std::count(edges.rgb.begin(), edges.rgb.end(), 255), 0);
}

TEST(ControlImage, WithoutConditionItIsTheImage) { EXPECT_EQ(control_image(square(), {}).rgb, square().rgb); }

TEST(ControlImage, NamesTellAllValues) {
  const ControlImage canny{.condition = ControlCondition::kCanny, .low = 50, .high = 120.5};
  EXPECT_EQ(canny.name(), "canny-50-120.5");
  std::vector<std::string> problems;
  canny.validate(problems);
  EXPECT_THAT(problems, IsEmpty());
  ControlImage{.condition = ControlCondition::kCanny, .low = 3, .high = 2}.validate(problems);
  EXPECT_THAT(problems, ElementsAre("low 3 is above high 2: exchange the two"));
}

}  // namespace
}  // namespace pixart::data
