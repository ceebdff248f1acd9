// DamagedImages::kRead: what Pillow 13 reads of damaged images, which was asked about each of these kinds.
#include <tiff.h>

#include "image_bytes.h"
#include "image_codecs.h"

namespace pixart::formats {
namespace {

using namespace std::string_literals;
using Rgb = std::vector<uint8_t>;

const DecodeLimits kReading = limits_of(DamagedImages::kRead);

// The image is damaged, and has these pixels all the same.
void expect_read(const std::string& bytes, const Rgb& rgb, ImageFault usual = ImageFault::kDamaged) {
  EXPECT_EQ(fault_of(bytes), usual);
  ASSERT_EQ(fault_of(bytes, kReading), std::nullopt);
  EXPECT_EQ(decode_image(bytes, "p", kReading).rgb, rgb);
}

void expect_damaged(const std::string& bytes) {
  EXPECT_EQ(fault_of(bytes), ImageFault::kDamaged);
  EXPECT_EQ(fault_of(bytes, kReading), ImageFault::kDamaged);
}

TEST(DamagedImage, WrongCodesOfAJpeg) {
  for (const int flags : {0, int{TJFLAG_PROGRESSIVE}}) {
    const Image image = gradient(32, 40);
    const std::string good = jpeg_of(image, flags), end = "\xff\xd9";
    const Rgb rgb = decode_image(good, "p").rgb;
    expect_read(good.substr(0, good.size() - 2) + std::string(300, '\x35') + end, rgb);
    expect_damaged(good.substr(0, good.size() - 40));
    expect_damaged(good.substr(0, good.size() / 2));
    const std::string gap = good.substr(0, good.size() - 40) + end;
    ASSERT_EQ(fault_of(gap), ImageFault::kDamaged);
    const Image read = decode_image(gap, "p", kReading);
    EXPECT_EQ(read.height, 32);
    EXPECT_NE(read.rgb, rgb);
    const bool begins_alike = std::equal(rgb.begin(), rgb.begin() + 8 * 40 * 3, read.rgb.begin());
    EXPECT_TRUE(begins_alike || flags != 0);  // rows of whole blocks before the gap
    EXPECT_EQ(decode_reduced(gap, "p", 8, kReading).reduction, 2);
  }
}

std::string deflated(const std::string& bytes) {
  std::string result(compressBound(uLong(bytes.size())), '\0');
  uLongf size = uLongf(result.size());
  compress(reinterpret_cast<Bytef*>(result.data()), &size, reinterpret_cast<const Bytef*>(bytes.data()),
           uLong(bytes.size()));
  return result.substr(0, size);
}

// A PNG of 3 x 2 pixels; `more` is before the pixels.
std::string png_with(char color_type, const std::string& pixels, const std::string& more = "") {
  return "\x89PNG\r\n\x1a\n" +
         png_chunk("IHDR" + big_endian(3) + big_endian(2) + '\x08' + color_type + "\0\0\0"s) + more +
         png_chunk("IDAT" + pixels) + png_chunk("IEND");
}

std::string rows_of(const Image& image, int count) {
  std::string rows;
  for (int y = 0; y < count; ++y)
    rows += '\0' + std::string(image.at(y, 0), image.at(y, 0) + 3 * image.width);
  return rows;
}

TEST(DamagedImage, ChecksumsAndChunksOfAPng) {
  constexpr char kColors = PNG_COLOR_TYPE_RGB;
  const std::string pixels = deflated(rows_of(small(), 2)), good = png_with(kColors, pixels);
  ASSERT_EQ(decode_image(good, "p").rgb, small().rgb);
  constexpr size_t kEnd = 12;
  std::string wrong = good;
  wrong[good.size() - kEnd - 1] ^= 1;
  expect_read(wrong, small().rgb);
  expect_read(png_with(kColors, pixels, png_chunk("MOREdata")), small().rgb);
  std::string header = good;
  header[8 + 8 + 13] ^= 1;  // its checksum
  expect_damaged(header);
  expect_damaged(good.substr(0, good.size() - kEnd - 4 - 8));
  expect_damaged(png_with(kColors, deflated(rows_of(small(), 1))));
  expect_read(png_with(kColors, pixels, png_chunk("acTL" + big_endian(2) + big_endian(0))), small().rgb,
              ImageFault::kUnsupported);
}

// Two pixels, of the indices 0 and 1: clear, 0, 1, end in three bits each.
const std::string kGifHead = "GIF89a\2\0\1\0\x81\0\0"s + "\1\2\3\4\5\6"s + std::string(6, '\0'),
                  kGifImage = ",\0\0\0\0\2\0\1\0\0\2"s, kGifPixels = "\2\x44\x0a"s;

TEST(DamagedImage, BytesBetweenThePartsOfAGif) {
  const Rgb rgb = {1, 2, 3, 4, 5, 6};
  const std::string good = kGifHead + kGifImage + kGifPixels + "\0;"s;
  ASSERT_EQ(decode_image(good, "p").rgb, rgb);
  expect_read(kGifHead + "junk" + kGifImage + kGifPixels + "\0;"s, rgb);
  expect_read(kGifHead + "\0"s + kGifImage + kGifPixels + "\0;"s, rgb);
  expect_read(kGifHead + kGifImage + kGifPixels + "\x20 cut off", rgb);
  expect_read(kGifHead + "!\xf9\4\1\0\0\1\0"s + "junk" + kGifImage + kGifPixels + "\0;"s,
              {1, 2, 3, 255, 255, 255});
  expect_read(kGifHead + "!\xfe\3abc\0"s + "\7" + kGifImage + kGifPixels + "\0;"s, rgb);
  expect_damaged(kGifHead + "junk;" + kGifImage + kGifPixels + "\0;"s);
  expect_damaged(kGifHead + "junk" + kGifImage + "\1\x44\0;"s);
  expect_damaged(kGifHead + "junk" + kGifImage.substr(0, 8));
}

struct TiffEntry {
  uint32_t tag, type, count, value;
};

// Four grey pixels in two strips; the entries of `changed` are in place of others.
std::string tiff_with(const std::vector<TiffEntry>& changed, bool big = false) {
  constexpr uint32_t kPixelsAt = 8, kOffsetsAt = 12, kDirectoryAt = 20;
  const auto number = [&](uint32_t value, int count) {
    std::string bytes = little_endian(value, count);
    return big ? std::string(bytes.rbegin(), bytes.rend()) : bytes;
  };
  std::vector<TiffEntry> entries = {{256, 4, 1, 2}, {257, 4, 1, 2},          {258, 4, 1, 8}, {259, 4, 1, 1},
                                    {262, 4, 1, 1}, {273, 4, 2, kOffsetsAt}, {278, 4, 1, 1}, {279, 4, 1, 2}};
  for (const auto& entry : changed)
    for (auto& own : entries)
      if (own.tag == entry.tag) own = entry;
  std::string file = (big ? "MM" : "II") + number(42, 2) + number(kDirectoryAt, 4) + "\x0a\x14\x1e\x28" +
                     number(kPixelsAt, 4) + number(kPixelsAt + 2, 4) + number(uint32_t(entries.size()), 2);
  for (const auto& [tag, type, count, value] : entries)
    file += number(tag, 2) + number(type, 2) + number(count, 4) + number(value, 4);
  return file + number(0, 4);
}

TEST(DamagedImage, TagsOfATiffThatCannotBeRead) {
  const Rgb rgb = {10, 10, 10, 20, 20, 20, 30, 30, 30, 40, 40, 40};
  for (const bool big : {false, true}) {
    expect_read(tiff_with({{259, 65407, 1, 1}}, big), rgb);                // an unknown type
    expect_read(tiff_with({{279, 4, 400'000'000, 4'000'000}}, big), rgb);  // values beyond the file
    expect_read(tiff_with({{262, 4, 1, 0}, {257, 4, 1, 3}, {279, 99, 1, 1}}, big),
                {245, 245, 245, 235, 235, 235, 225, 225, 225, 215, 215, 215, 0, 0, 0, 0, 0, 0});
    expect_damaged(
        tiff_with({{259, 4, 4'000'000, 7}}, big));         // then the places of strips do not count either
    expect_damaged(tiff_with({{256, 65407, 1, 2}}, big));  // the width
    expect_damaged(tiff_with({{273, 4, 1, 4000}, {278, 4, 1, 2}, {257, 4, 1, 200}, {279, 99, 1, 1}}, big));
    EXPECT_NE(fault_of(tiff_with({{259, 4, 1, 65537}}, big), kReading), std::nullopt);
    EXPECT_NE(fault_of(tiff_with({{258, 99, 1, 8}, {259, 99, 1, 1}, {273, 4, 1, 4000}}, big), kReading),
              std::nullopt);
  }
}

TEST(DamagedImage, LimitsArePillows) {
  EXPECT_EQ(kReading.pixels, 178'956'970);
  EXPECT_EQ(limits_of(DamagedImages::kReject).pixels, DecodeLimits().pixels);
  const std::string wide = png_of(40'000, 1, Rgb(40'000, 7), {.color_type = PNG_COLOR_TYPE_GRAY});
  EXPECT_EQ(fault_of(wide), ImageFault::kTooLarge);
  EXPECT_EQ(decode_image(wide, "p", kReading).width, 40'000);
  constexpr uint32_t kSide = 1'500'000;  // more than libpng's own limit
  const std::string header = "IHDR" + big_endian(kSide) + big_endian(1) + "\x08\0\0\0\0"s,
                    pixels = "IDAT" + deflated('\0' + std::string(kSide, '\7'));
  const std::string wider = "\x89PNG\r\n\x1a\n" + png_chunk(header) + png_chunk(pixels) + png_chunk("IEND");
  EXPECT_EQ(decode_image(wider, "p", kReading).rgb, Rgb(size_t{3} * kSide, 7));
}

TEST(DamagedImage, OtherContentIsRefusedAsUsual) {
  EXPECT_EQ(fault_of("", kReading), ImageFault::kEmpty);
  EXPECT_EQ(fault_of("<html>", kReading), ImageFault::kNotAnImage);
  EXPECT_EQ(fault_of("\x89PNG\r\n\x1a\n", kReading), ImageFault::kDamaged);
  EXPECT_EQ(fault_of("GIF89a", kReading), ImageFault::kDamaged);
  EXPECT_EQ(fault_of("II*\0"s, kReading), ImageFault::kDamaged);
}

}  // namespace
}  // namespace pixart::formats
