#include <gtest/gtest.h>

#include "chat.h"

namespace pixart::caption {
namespace {

struct Size {
  int height, width;
  bool operator==(const Size&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Size& size) {
  return out << size.height << "x" << size.width;
}

Size sent(int height, int width) {
  const Image image = formats::decode_image(image_to_send(Image(height, width, 90)), "sent");
  return {image.height, image.width};
}

TEST(ImageToSend, SmallOnesKeepTheirSize) {
  EXPECT_EQ(sent(400, 800), (Size{400, 800}));
  EXPECT_EQ(sent(1, 1), (Size{1, 1}));
}

TEST(ImageToSend, ShortSideAtMost400LongSideAtMost800) {
  EXPECT_EQ(sent(1000, 1000), (Size{400, 400}));
  EXPECT_EQ(sent(1200, 900), (Size{533, 400}));
  EXPECT_EQ(sent(300, 1600), (Size{150, 800}));
  EXPECT_EQ(sent(3000, 2), (Size{800, 1}));
  for (int side = 401; side < 460; side += 7) EXPECT_EQ(sent(side, side), (Size{400, 400})) << side;
}

TEST(ImageToSend, LooksTheSame) {
  Image image(64, 64);
  for (int y = 0; y < 64; ++y)
    for (int x = 0; x < 64; ++x) image.at(y, x)[0] = image.at(y, x)[1] = uint8_t(2 * (x + y));
  const Image back = formats::decode_image(image_to_send(image), "sent");
  double error = 0;
  for (size_t i = 0; i < image.rgb.size(); ++i) error += std::abs(int(image.rgb[i]) - int(back.rgb[i]));
  EXPECT_LT(error / double(image.rgb.size()), 2.0);  // of 255: JPEG of quality 90 on a smooth image
}

TEST(ImageToSend, IsTheSameEachTime) {
  const Image image(500, 700, 17);
  EXPECT_EQ(image_to_send(image), image_to_send(image));
  EXPECT_LT(image_to_send(image).size(), 20'000u);
}

}  // namespace
}  // namespace pixart::caption
