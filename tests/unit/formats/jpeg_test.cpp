// What libjpeg warns about, and what of it is damage. Pillow's pixels of each file that is taken are those of
// the file without the oddity.
#include <array>

#include "image_bytes.h"
#include "image_codecs.h"

namespace pixart::formats {
namespace {

// Where the first segment with this marker begins.
size_t segment_of(const std::string& jpeg, uint8_t marker) {
  size_t at = 2;
  while (uint8_t(jpeg[at + 1]) != marker)
    at += 2 + size_t(uint8_t(jpeg[at + 2]) << 8 | uint8_t(jpeg[at + 3]));
  return at;
}

std::string with(const std::string& jpeg, size_t at, const std::string& inserted) {
  return jpeg.substr(0, at) + inserted + jpeg.substr(at);
}

class Jpeg : public ::testing::Test {
 protected:
  // The files have the pixels of the good one.
  static void expect_same(const std::string& jpeg, const std::string& good, const std::string& what) {
    SCOPED_TRACE(what);
    ASSERT_EQ(fault_of(jpeg), std::nullopt);
    EXPECT_EQ(decode_image(jpeg, "p").rgb, decode_image(good, "p").rgb);
    EXPECT_EQ(decode_reduced(jpeg, "p", 8).image.rgb, decode_reduced(good, "p", 8).image.rgb);
  }
  const std::string baseline_ = jpeg_of(gradient(32, 40)),
                    progressive_ = jpeg_of(gradient(32, 40), TJFLAG_PROGRESSIVE);
};

TEST_F(Jpeg, BytesBetweenSegmentsChangeNoPixel) {
  for (const auto& [good, frame] : {std::pair(baseline_, 0xC0), std::pair(progressive_, 0xC2)})
    for (const int marker : {0xDB, frame, 0xC4, 0xDA})
      for (const std::string& junk :
           {std::string("\x11\x22"), std::string(40, '\0'), std::string(300, '\xab')})
        expect_same(with(good, segment_of(good, uint8_t(marker)), junk), good, std::to_string(marker));
}

TEST_F(Jpeg, OddNumbersInHeadersChangeNoPixel) {
  for (const auto& good : {baseline_, progressive_})
    for (const char major : {2, 5}) {
      std::string odd = good;
      odd[segment_of(good, 0xE0) + 9] = major;
      expect_same(odd, good, "JFIF revision");
    }
  const size_t scan = segment_of(baseline_, 0xDA), first = scan + 5 + 2 * 3;  // behind its three components
  for (const auto& [begin, end, bits] :
       std::vector<std::array<int, 3>>{{0, 0, 0}, {1, 63, 0}, {0, 62, 0x11}}) {
    std::string odd = baseline_;
    odd[first] = char(begin), odd[first + 1] = char(end), odd[first + 2] = char(bits);
    expect_same(odd, baseline_, "parameters of the scan");
  }
  const std::string adobe(
      "\xff\xee\0\x0e"
      "Adobe\0\x64\0\0\0\0\x09",
      16);  // a transform that is not known
  expect_same(with(baseline_, 2, adobe), baseline_, "Adobe");
}

TEST_F(Jpeg, FillingBehindThePixelsIsHarmless) {
  for (const auto& good : {baseline_, progressive_}) {
    expect_same(with(good, good.size() - 2, std::string(500, '\0')), good, "zeros");
    expect_same(good + std::string(500, 'x'), good, "after the end");
  }
}

// Codes that are left over are those that wrong codes before them made superfluous.
TEST_F(Jpeg, CodesThatAreLeftOverAreDamage) {
  for (const auto& good : {baseline_, progressive_})
    EXPECT_EQ(fault_of(with(good, good.size() - 2, std::string(300, '\x35'))), ImageFault::kDamaged);
}

// A harmless warning does not hide the one before or after it.
TEST_F(Jpeg, DamageIsFoundAmongHarmlessWarnings) {
  for (const auto& good : {baseline_, progressive_}) {
    std::string odd = with(good, segment_of(good, 0xDB), "\x11\x22");
    odd[segment_of(good, 0xE0) + 9] = 2;
    ASSERT_EQ(fault_of(odd), std::nullopt);
    EXPECT_EQ(fault_of(odd.substr(0, odd.size() - 2)), ImageFault::kDamaged) << "no end";
    EXPECT_EQ(fault_of(odd.substr(0, odd.size() - 40)), ImageFault::kDamaged) << "cut off";
  }
  std::string odd = with(baseline_, segment_of(baseline_, 0xDB), "\x11\x22");
  EXPECT_EQ(fault_of(odd.substr(0, odd.size() - 40) + "\xff\xd9"), ImageFault::kDamaged)
      << "its last codes are missing";
}

TEST_F(Jpeg, ComponentsOfUnusualShapesAreTaken) {
  const Image image = gradient(32, 40);
  for (const int sampling : {TJSAMP_444, TJSAMP_422, TJSAMP_420, TJSAMP_440, TJSAMP_411, TJSAMP_GRAY}) {
    const std::string jpeg = jpeg_of(image, 0, sampling);
    EXPECT_EQ(decode_image(jpeg, "p").width, 40) << sampling;
  }
  std::string odd = jpeg_of(image, 0, TJSAMP_444);
  odd[segment_of(odd, 0xC0) + 11] = '\x41';  // four samples of the first component beside one of the others
  EXPECT_NE(fault_of(odd), ImageFault::kUnsupported);
}

}  // namespace
}  // namespace pixart::formats
