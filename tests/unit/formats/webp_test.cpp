// WebP: still images in the container of animations.
#include "image_bytes.h"
#include "image_codecs.h"

namespace pixart::formats {
namespace {

using namespace std::string_literals;
using Rgb = std::vector<uint8_t>;

struct Frame {
  int left = 0, top = 0, width = 4, height = 2;
  uint8_t gray = 200;
};

std::string chunk(const std::string& name, const std::string& data) {
  return name + little_endian(data.size(), 4) + data + std::string(data.size() % 2, '\0');
}

// A canvas of 8 x 4 pixels whose background is said to be red.
std::string animation_of(const std::vector<Frame>& frames, const std::string& more = "", char flags = 0x12) {
  std::string body = "WEBP" +
                     chunk("VP8X", flags + little_endian(0, 3) + little_endian(7, 3) + little_endian(3, 3)) +
                     chunk("ANIM", "\0\0\xff\xff"s + little_endian(0, 2));
  for (const auto& [left, top, width, height, gray] : frames) {
    std::vector<uint8_t> rgba(size_t(4 * width * height), gray);
    for (size_t i = 3; i < rgba.size(); i += 4) rgba[i] = 255;
    body += chunk("ANMF", little_endian(uint64_t(left / 2), 3) + little_endian(uint64_t(top / 2), 3) +
                              little_endian(uint64_t(width - 1), 3) + little_endian(uint64_t(height - 1), 3) +
                              little_endian(100, 3) + '\0' + webp_of(rgba, width, height).substr(12));
  }
  body += more;
  return "RIFF" + little_endian(body.size(), 4) + body;
}

// Pillow: the canvas is transparent where no frame is, whatever the file says about its background.
TEST(Webp, AnAnimationOfOneFrameIsAStillImage) {
  const Image whole = decode_image(animation_of({{.width = 8, .height = 4}}), "p");
  EXPECT_EQ(std::pair(whole.height, whole.width), std::pair(4, 8));
  EXPECT_EQ(whole.rgb, Rgb(size_t(8 * 4 * 3), 200));
  const Image part = decode_image(animation_of({{.left = 2, .top = 2}}), "p");
  for (int y = 0; y < 4; ++y)
    for (int x = 0; x < 8; ++x)
      EXPECT_EQ(part.at(y, x)[1], y >= 2 && x >= 2 && x < 6 ? 200 : 255) << y << " " << x;
  const auto turned =
      decode_image(animation_of({{.width = 8, .height = 4}}, chunk("EXIF", exif_of(6, true)), 0x1A), "p");
  EXPECT_EQ(std::pair(turned.height, turned.width), std::pair(8, 4));
}

TEST(Webp, OtherNumbersOfFramesAreRefused) {
  const std::string two = animation_of({{.width = 8, .height = 4}, Frame{}});
  EXPECT_EQ(fault_of(two), ImageFault::kUnsupported);
  EXPECT_EQ(decode_image(two, "p", limits_of(DamagedImages::kRead)).rgb, Rgb(size_t(8 * 4 * 3), 200));
  EXPECT_NE(fault_of(animation_of({})), std::nullopt);
  const std::string one = animation_of({Frame{}});
  for (size_t length = 30; length < one.size(); length += 3)
    EXPECT_EQ(fault_of(one.substr(0, length)), ImageFault::kDamaged) << length;
  EXPECT_EQ(fault_of(one, {.pixels = 31}), ImageFault::kTooLarge);
}

}  // namespace
}  // namespace pixart::formats
