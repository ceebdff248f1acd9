#include "image_bytes.h"
#include "image_codecs.h"

namespace pixart::formats {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

class ImageFile : public Folder {
 protected:
  std::string refusal_of(const std::string& bytes, const DecodeLimits& limits = {}) const {
    return refusal([&] { decode_image(bytes, "picture", limits); });
  }
};

TEST_F(ImageFile, PngComesBackWithItsText) {
  const auto path = folder_ / "p.png";
  save_png(path, small(), {{"prompt", "a caf\u00e9"}, {"seed", "7"}});
  const Image image = load_image(path);
  EXPECT_EQ(image.height, 2);
  EXPECT_EQ(image.width, 3);
  EXPECT_EQ(image.rgb, small().rgb);
  const std::string bytes = read(path);
  EXPECT_NE(bytes.find(std::string("iTXtprompt\0\0\0\0\0a caf\u00e9", 22)), std::string::npos);
  EXPECT_NE(bytes.find(std::string("iTXtseed\0\0\0\0\0007", 14)), std::string::npos);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);  // no temporary file is left
}

TEST_F(ImageFile, PngTellsOfItsProgressAndMayBeGivenUp) {
  const Image tall(500, 3, 7);
  int calls = 0;
  save_png(folder_ / "p.png", tall, {}, [&] { ++calls; });
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(read(folder_ / "p.png"), encode_png(tall));
  EXPECT_EQ(load_image(folder_ / "p.png").rgb, tall.rgb);
  EXPECT_THROW(save_png(folder_ / "q.png", tall, {}, [] { throw UserError("enough"); }), UserError);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "q.png"));
}

TEST_F(ImageFile, PngOfOtherKinds) {
  const auto decode = [&](int width, int height, const std::vector<uint8_t>& samples,
                          const PngOptions& options) {
    return decode_image(png_of(width, height, samples, options), "p").rgb;
  };
  EXPECT_EQ(decode(2, 1, {10, 200}, {.color_type = PNG_COLOR_TYPE_GRAY}),
            (std::vector<uint8_t>{10, 10, 10, 200, 200, 200}));
  EXPECT_EQ(decode(1, 1, {0x12, 0xff}, {.bit_depth = 16, .color_type = PNG_COLOR_TYPE_GRAY}),
            (std::vector<uint8_t>{0x12, 0x12, 0x12}));
  EXPECT_EQ(decode(8, 1, {0x80}, {.bit_depth = 1, .color_type = PNG_COLOR_TYPE_GRAY})[0], 255);
  EXPECT_EQ(decode(3, 2, small().rgb, {.interlace = PNG_INTERLACE_ADAM7}), small().rgb);
}

TEST_F(ImageFile, AlphaIsCompositedOnWhite) {
  const std::vector<uint8_t> rgba = {0, 100, 200, 255, 0, 100, 200, 0, 0, 100, 200, 51},
                             want = {0, 100, 200, 255, 255, 255, 204, 224, 244};
  EXPECT_EQ(decode_image(png_of(3, 1, rgba, {.color_type = PNG_COLOR_TYPE_RGBA}), "p").rgb, want);
  EXPECT_EQ(decode_image(png_of(2, 1, {9, 255, 9, 0}, {.color_type = PNG_COLOR_TYPE_GRAY_ALPHA}), "p").rgb,
            (std::vector<uint8_t>{9, 9, 9, 255, 255, 255}));
  const Image webp = decode_image(webp_of(rgba, 3, 1), "p");
  EXPECT_EQ(webp.rgb[0], 0);
  EXPECT_EQ(webp.rgb[3], 255);
  EXPECT_EQ(webp.rgb[6], 204);
}

// The corner that shows where the first stored pixel went: EXIF 2.3, table 6.
TEST_F(ImageFile, ExifOrientationIsApplied) {
  const Image stored = small();
  struct Corner {
    int y, x, height, width;
  };
  const Corner corners[] = {{0, 0, 2, 3}, {0, 2, 2, 3}, {1, 2, 2, 3}, {1, 0, 2, 3},
                            {0, 0, 3, 2}, {0, 1, 3, 2}, {2, 1, 3, 2}, {2, 0, 3, 2}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    const auto [y, x, height, width] = corners[orientation - 1];
    const Image upright = oriented(stored, orientation);
    ASSERT_EQ(upright.height, height) << orientation;
    ASSERT_EQ(upright.width, width) << orientation;
    EXPECT_EQ(upright.at(y, x)[0], stored.at(0, 0)[0]) << orientation;
    EXPECT_EQ(upright.at(height - 1 - y, width - 1 - x)[0], stored.at(1, 2)[0]) << orientation;
  }
}

TEST_F(ImageFile, JpegIsCloseAndGreyIsSpread) {
  const Image image = gradient(32, 48), decoded = decode_image(jpeg_of(image), "p");
  ASSERT_EQ(decoded.rgb.size(), image.rgb.size());
  for (size_t i = 0; i < image.rgb.size(); ++i) ASSERT_NEAR(decoded.rgb[i], image.rgb[i], 8) << i;
}

TEST_F(ImageFile, JpegIsHalvedWhereEnoughIsLeft) {
  const Image image = gradient(62, 95);
  const std::string jpeg = jpeg_of(image);
  const auto half = decode_reduced(jpeg, "p", 31);
  EXPECT_EQ(std::pair(half.full_height, half.full_width), std::pair(62, 95));
  EXPECT_EQ(half.reduction, 2);
  ASSERT_EQ(std::pair(half.image.height, half.image.width), std::pair(31, 48));  // 95 / 2 rounds up
  for (int y = 0; y < 31; ++y)
    for (int x = 0; x < 47; ++x)
      for (int c = 0; c < 3; ++c)
        ASSERT_NEAR(half.image.at(y, x)[c],
                    (image.at(2 * y, 2 * x)[c] + image.at(2 * y + 1, 2 * x + 1)[c]) / 2, 8)
            << y << " " << x;
  for (const int least_side : {0, 32, 1000}) {
    const auto whole = decode_reduced(jpeg, "p", least_side);
    EXPECT_EQ(whole.image.rgb, decode_image(jpeg, "p").rgb) << least_side;
    EXPECT_EQ(std::pair(whole.full_height, whole.full_width), std::pair(62, 95));
    EXPECT_EQ(whole.reduction, 1);
  }
  EXPECT_EQ(decode_reduced(jpeg_of(gradient(63, 95)), "p", 32).reduction, 1);  // the half is 31.5
}

TEST_F(ImageFile, HalvedJpegIsTurned) {
  const auto half = decode_reduced(jpeg_with_exif(gradient(40, 62), exif_of(6, true)), "p", 20);
  EXPECT_EQ(std::pair(half.full_height, half.full_width), std::pair(62, 40));
  EXPECT_EQ(std::pair(half.image.height, half.image.width), std::pair(31, 20));
  EXPECT_LT(half.image.at(0, 19)[0], 16);    // where the stored left upper corner goes
  EXPECT_GT(half.image.at(30, 19)[0], 240);  // the right upper one
}

TEST_F(ImageFile, SizesAreThoseOfTheDecodedImage) {
  const std::vector<uint8_t> rgba(size_t(40 * 62 * 4), 200);
  for (const std::string& bytes :
       {jpeg_of(gradient(40, 62)), jpeg_with_exif(gradient(40, 62), exif_of(6, true)),
        jpeg_with_exif(gradient(40, 62), exif_of(3, true)), png_of(62, 40, gradient(40, 62).rgb, {}),
        webp_of(rgba, 62, 40)}) {
    const Image image = decode_image(bytes, "p");
    EXPECT_EQ(size_of_image(bytes, "p"), (ImageSize{image.height, image.width}));
  }
  EXPECT_EQ(size_of_image(jpeg_with_exif(gradient(40, 62), exif_of(6, true)), "p"), (ImageSize{62, 40}));
}

TEST_F(ImageFile, SizesNeedAHeaderWithinTheLimits) {
  for (const std::string& bytes : {jpeg_of(gradient(40, 62)), png_of(62, 40, gradient(40, 62).rgb, {})}) {
    EXPECT_THROW(size_of_image(bytes.substr(0, 20), "p"), ImageError);
    EXPECT_THROW(size_of_image(bytes, "p", {.side = 61}), ImageError);
    EXPECT_THROW(size_of_image(bytes, "p", {.pixels = 40 * 62 - 1}), ImageError);
    const std::string cut = bytes.substr(0, bytes.size() - bytes.size() / 4);  // pixels are missing
    EXPECT_THROW(decode_image(cut, "p"), ImageError);
    EXPECT_EQ(size_of_image(cut, "p"), (ImageSize{40, 62}));
  }
  EXPECT_THROW(size_of_image("", "p"), ImageError);
  EXPECT_THROW(size_of_image("%PDF-1.7", "p"), ImageError);
}

TEST_F(ImageFile, OnlyJpegIsHalved) {
  const Image image = gradient(40, 60);
  const std::vector<uint8_t> rgba(size_t(40 * 60 * 4), 200);
  for (const std::string& bytes : {png_of(60, 40, image.rgb, {}), webp_of(rgba, 60, 40)}) {
    const auto whole = decode_reduced(bytes, "p", 10);
    EXPECT_EQ(whole.image.rgb, decode_image(bytes, "p").rgb);
    EXPECT_EQ(std::pair(whole.full_height, whole.full_width), std::pair(40, 60));
    EXPECT_EQ(whole.reduction, 1);
  }
}

TEST_F(ImageFile, HalvingFindsWhatIsDamaged) {
  const std::string jpeg = jpeg_of(gradient(64, 64));
  for (size_t count = 100; count + 2 < jpeg.size(); count += 53)
    EXPECT_THROW(decode_reduced(jpeg.substr(0, count), "p", 8), ImageError) << count;
  EXPECT_THROW(decode_reduced(jpeg, "p", 8, {.pixels = 64 * 64 - 1}), ImageError);  // of the whole image
}

// A cut at any place in the pixels is noticed, and no changed byte does harm.
TEST_F(ImageFile, DamageIsRefusedOrHarmless) {
  const std::vector<uint8_t> rgba(size_t(20 * 20 * 4), 200);
  const size_t png_end = 24;  // the chunk IEND, two checksums and the mark at the end of the pixels
  const std::pair<std::string, size_t> files[] = {{jpeg_of(gradient(20, 20)), 2},
                                                  {png_of(20, 20, gradient(20, 20).rgb, {}), png_end},
                                                  {webp_of(rgba, 20, 20), 2}};
  for (const auto& [bytes, end] : files) {
    for (size_t count = 0; count + end < bytes.size(); count += 7)
      EXPECT_EQ(fault_of(bytes.substr(0, count)), count == 0 ? ImageFault::kEmpty : ImageFault::kDamaged)
          << count;
    for (size_t i = 0; i < bytes.size(); i += 3) {
      std::string changed = bytes;
      changed[i] = char(changed[i] ^ 0x55);
      try {
        decode_image(changed, "p");
      } catch (const UserError&) {
      }
    }
  }
}

TEST_F(ImageFile, LimitsHoldBeforeAllocation) {
  const std::string png = png_of(3, 2, small().rgb, {}), jpeg = jpeg_of(gradient(20, 30));
  EXPECT_THAT(refusal_of(png, {.side = 2}),
              AllOf(HasSubstr("picture"), HasSubstr("3 x 2"), HasSubstr("limit")));
  EXPECT_THAT(refusal_of(jpeg, {.pixels = 599}), HasSubstr("30 x 20"));
  EXPECT_THAT(refusal_of(webp_of(std::vector<uint8_t>(400, 7), 10, 10), {.side = 9}), HasSubstr("10 x 10"));
  EXPECT_THAT(refusal_of(png, {.file_bytes = 10}), HasSubstr("bytes"));
  const std::string huge =
      png.substr(0, 8) +
      png_chunk("IHDR" + big_endian(100'000) + big_endian(100'000) + std::string("\x08\x02\0\0\0", 5)) +
      png.substr(33);
  EXPECT_THAT(refusal_of(huge), HasSubstr("100000 x 100000"));
}

TEST_F(ImageFile, NamesWhatIsNoImage) {
  EXPECT_THAT(refusal_of("%PDF-1.7"), AllOf(HasSubstr("picture"), HasSubstr("not a JPEG, PNG, WebP, AVIF")));
  EXPECT_THAT(refusal_of(""), HasSubstr("empty"));
  EXPECT_THAT(refusal([&] { load_image(folder_ / "absent.png"); }), HasSubstr("absent.png"));
}

TEST_F(ImageFile, SaysWhatOtherContentSeemsToBe) {
  using namespace std::string_literals;
  const std::pair<std::string, const char*> cases[] = {
      {"PK\3\4\24\0"s, "a zip"},
      {"\0\0\0\x1c"
       "ftypheic"s,
       "a HEIC"},
      {"BMW is no bitmap\n", "text"},
      {"\n <!DOCTYPE html><title>404</title>", "an HTML page"},
      {"{\"error\": 1}", "JSON"},
      {std::string(257, 'x') + "ustar\0"s, "a tar"},
      {std::string(4096, '\0'), "zero bytes"},
      {"not an image\n", "text"},
      {"\1\2\3\x80", "GIF or BMP image. "}};
  for (const auto& [bytes, content] : cases) {
    EXPECT_EQ(fault_of(bytes), ImageFault::kNotAnImage) << content;
    EXPECT_THAT(refusal_of(bytes), HasSubstr(content));
  }
  EXPECT_EQ(fault_of(""), ImageFault::kEmpty);
}

TEST_F(ImageFile, FaultsOfPng) {
  const std::string png = png_of(3, 2, small().rgb, {}), head = png.substr(0, 33), rest = png.substr(33);
  std::string changed = png;
  changed[20] = char(changed[20] ^ 1);  // a bit of the size: the checksum of the header is wrong
  EXPECT_EQ(fault_of(changed), ImageFault::kDamaged);
  // The checksum of the pixels at the end of the zlib stream; that of the chunk is right.
  const size_t data = png.find("IDAT"), length = png.size() - 12 - 4 - data;
  std::string stream = png.substr(data, length);
  ASSERT_EQ(fault_of(head + png_chunk(stream) + png_chunk("IEND")), std::nullopt);
  stream.back() = char(stream.back() ^ 1);
  EXPECT_THAT(refusal_of(head + png_chunk(stream) + png_chunk("IEND")), HasSubstr("data check"));
  EXPECT_EQ(fault_of(head + png_chunk(stream) + png_chunk("IEND")), ImageFault::kDamaged);
  const auto animation = [](uint32_t frames) {
    return png_chunk("acTL" + big_endian(frames) + big_endian(0));
  };
  EXPECT_EQ(fault_of(head + animation(2) + rest), ImageFault::kUnsupported);
  EXPECT_EQ(fault_of(head + animation(1) + rest), std::nullopt);
  // A profile that is no profile does not matter.
  EXPECT_EQ(fault_of(head + png_chunk(std::string("iCCPx\0\0rubbish", 14)) + rest), std::nullopt);
  const auto sized = [&](uint32_t width, uint32_t height) {
    return fault_of(
        png.substr(0, 8) +
        png_chunk("IHDR" + big_endian(width) + big_endian(height) + std::string("\x08\x02\0\0\0", 5)) + rest);
  };
  EXPECT_EQ(sized(0, 2), ImageFault::kDamaged);
  EXPECT_EQ(sized(3, 0x80000000), ImageFault::kTooLarge);
  EXPECT_EQ(sized(40'000, 1), ImageFault::kTooLarge);
  EXPECT_EQ(sized(30'000, 30'000), ImageFault::kTooLarge);
}

// As for Pillow 13, which was asked: with all pixels, the checksums at their end and IEND may be missing.
TEST_F(ImageFile, APngWithoutItsEndMarksIsWhole) {
  constexpr size_t kEnd = 12, kChecksums = 8;  // IEND; of the zlib stream and of the chunk
  for (const int interlace : {PNG_INTERLACE_NONE, PNG_INTERLACE_ADAM7}) {
    const std::string png = png_of(3, 2, small().rgb, {.interlace = interlace});
    for (size_t missing = 1; missing <= kEnd + kChecksums; ++missing)
      EXPECT_EQ(decode_image(png.substr(0, png.size() - missing), "p").rgb, small().rgb) << missing;
    for (size_t missing = kEnd + kChecksums + 3; missing + 8 <= png.size(); ++missing)
      EXPECT_EQ(fault_of(png.substr(0, png.size() - missing)), ImageFault::kDamaged) << missing;
    std::string changed = png;
    changed.back() = char(changed.back() ^ 1);  // the checksum of IEND
    EXPECT_EQ(decode_image(changed, "p").rgb, small().rgb);
    changed[png.size() - kEnd - 1] = char(changed[png.size() - kEnd - 1] ^ 1);  // that of the pixels
    EXPECT_EQ(fault_of(changed), ImageFault::kDamaged);
    EXPECT_EQ(fault_of(changed.substr(0, png.size() - kEnd)), ImageFault::kDamaged);
  }
}

TEST_F(ImageFile, FaultsOfJpeg) {
  const std::string jpeg = jpeg_of(gradient(16, 16));
  const size_t quantizers = jpeg.find("\xff\xdb"), frame = jpeg.find("\xff\xc0"),
               tables = jpeg.find("\xff\xc4"), scan = jpeg.find("\xff\xda");
  const auto with = [&](size_t at, uint8_t value) {
    std::string changed = jpeg;
    changed[at] = char(value);
    return fault_of(changed);
  };
  EXPECT_EQ(with(frame + 1, 0xC3), ImageFault::kUnsupported);  // lossless
  EXPECT_EQ(with(frame + 1, 0xC5), ImageFault::kUnsupported);  // differential
  EXPECT_EQ(with(frame + 4, 12), ImageFault::kUnsupported);    // bits a sample
  EXPECT_EQ(with(frame + 6, 0), with(frame + 8, 0));           // 0 x 16 and 16 x 0
  EXPECT_EQ(fault_of(jpeg.substr(0, frame) + jpeg.substr(tables)), ImageFault::kDamaged);
  EXPECT_EQ(fault_of(jpeg.substr(0, quantizers) + jpeg.substr(frame)), ImageFault::kDamaged);
  EXPECT_EQ(fault_of(jpeg.substr(0, tables) + jpeg.substr(scan)), std::nullopt);  // the standard's are meant
  EXPECT_EQ(fault_of(jpeg.substr(0, scan) + "\xff\xd9"), ImageFault::kDamaged);
  EXPECT_EQ(fault_of(jpeg + "what some cameras add"), std::nullopt);
}

// Scans that say nothing new, in a small file: refused before they are decoded.
TEST_F(ImageFile, TooManyScansAreRefused) {
  const std::string jpeg = jpeg_of(gradient(16, 16), TJFLAG_PROGRESSIVE);
  const int scans = frame_of_jpeg(jpeg).scans;
  EXPECT_EQ(frame_of_jpeg(jpeg).process, 0xC2);
  ASSERT_GE(scans, 5);
  EXPECT_EQ(fault_of(jpeg), std::nullopt);
  std::string bomb = jpeg.substr(0, jpeg.size() - 2);
  const std::string last = bomb.substr(bomb.rfind("\xff\xda"));
  while (frame_of_jpeg(bomb).scans <= 500) bomb += last;
  bomb += "\xff\xd9";
  EXPECT_EQ(fault_of(bomb), ImageFault::kTooLarge);
  EXPECT_THAT(refusal_of(bomb), AllOf(HasSubstr("501 scans"), HasSubstr("limit")));
  EXPECT_EQ(fault_of(jpeg, {.scanned_pixels = scans * 256}), std::nullopt);
  EXPECT_EQ(fault_of(jpeg, {.scanned_pixels = scans * 256 - 1}), ImageFault::kTooLarge);
}

TEST_F(ImageFile, FaultsOfWebp) {
  const std::string webp = webp_of(std::vector<uint8_t>(400, 7), 10, 10);
  EXPECT_EQ(fault_of(webp, {.pixels = 99}), ImageFault::kTooLarge);
  EXPECT_EQ(fault_of("RIFF" + little_endian(4, 4) + "WAVE" + "fmt "), ImageFault::kNotAnImage);
}

TEST_F(ImageFile, FilesThatCannotBeRead) {
  const auto fault = [&](const std::filesystem::path& path) {
    try {
      load_image(path, {.file_bytes = 4});
    } catch (const ImageError& error) {
      return error.fault();
    }
    return ImageFault::kEmpty;
  };
  EXPECT_EQ(fault(folder_), ImageFault::kUnreadable);
  EXPECT_EQ(fault(folder_ / "absent.png"), ImageFault::kUnreadable);
  EXPECT_EQ(fault(write("large.png", "12345")), ImageFault::kTooLarge);
}

TEST_F(ImageFile, SavingChecksItsArguments) {
  EXPECT_THROW(save_png(folder_ / "p.png", Image()), InternalError);
  EXPECT_THROW(save_png(folder_ / "p.png", small(), {{std::string(80, 'k'), "v"}}), InternalError);
}

}  // namespace
}  // namespace pixart::formats
