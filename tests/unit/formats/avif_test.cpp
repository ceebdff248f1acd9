// AVIF, written without loss by libavif.
#include <avif/avif.h>

#include <functional>
#include <memory>

#include "image_bytes.h"
#include "image_codecs.h"

namespace pixart::formats {
namespace {

using EncodedImage = std::unique_ptr<avifImage, void (*)(avifImage*)>;

// RGBA pixels as an image of libavif that keeps their values.
EncodedImage without_loss(const std::vector<uint8_t>& rgba, int width, int height) {
  EncodedImage image(avifImageCreate(uint32_t(width), uint32_t(height), 8, AVIF_PIXEL_FORMAT_YUV444),
                     avifImageDestroy);
  image->matrixCoefficients = AVIF_MATRIX_COEFFICIENTS_IDENTITY;
  image->yuvRange = AVIF_RANGE_FULL;
  avifRGBImage source;
  avifRGBImageSetDefaults(&source, image.get());
  source.depth = 8;
  source.format = AVIF_RGB_FORMAT_RGBA;
  source.pixels = const_cast<uint8_t*>(rgba.data());
  source.rowBytes = uint32_t(4 * width);
  EXPECT_EQ(avifImageRGBToYUV(image.get(), &source), AVIF_RESULT_OK);
  return image;
}

// `frames`: more than one make an animation.
std::string avif_of(const avifImage& image, int frames = 1) {
  const std::unique_ptr<avifEncoder, void (*)(avifEncoder*)> encoder(avifEncoderCreate(), avifEncoderDestroy);
  encoder->minQuantizer = encoder->maxQuantizer = AVIF_QUANTIZER_LOSSLESS;
  encoder->minQuantizerAlpha = encoder->maxQuantizerAlpha = AVIF_QUANTIZER_LOSSLESS;
  encoder->speed = AVIF_SPEED_FASTEST;
  encoder->timescale = 1;
  for (int i = 0; i < frames; ++i)
    EXPECT_EQ(avifEncoderAddImage(encoder.get(), &image, 1,
                                  frames == 1 ? AVIF_ADD_IMAGE_FLAG_SINGLE : AVIF_ADD_IMAGE_FLAG_NONE),
              AVIF_RESULT_OK);
  avifRWData out = AVIF_DATA_EMPTY;
  EXPECT_EQ(avifEncoderFinish(encoder.get(), &out), AVIF_RESULT_OK);
  std::string bytes(reinterpret_cast<const char*>(out.data), out.size);
  avifRWDataFree(&out);
  return bytes;
}

std::vector<uint8_t> opaque(const Image& image) {
  std::vector<uint8_t> rgba;
  for (size_t i = 0; i < image.rgb.size(); i += 3)
    rgba.insert(rgba.end(), {image.rgb[i], image.rgb[i + 1], image.rgb[i + 2], 255});
  return rgba;
}

TEST(Avif, PixelsAndAlpha) {
  const Image image = gradient(24, 32);
  const std::string bytes = avif_of(*without_loss(opaque(image), 32, 24));
  EXPECT_EQ(image_ending(bytes), "avif");
  EXPECT_EQ(decode_image(bytes, "p").rgb, image.rgb);
  std::vector<uint8_t> rgba(size_t(16 * 16 * 4), 100);
  for (size_t i = 3; i < rgba.size(); i += 4) rgba[i] = i < 512 ? 128 : 255;
  const Image composited = decode_image(avif_of(*without_loss(rgba, 16, 16)), "p");
  EXPECT_EQ(composited.rgb.front(), 177);  // (100 * 128 + 255 * 127) / 255
  EXPECT_EQ(composited.rgb.back(), 100);
}

// The turns of the container win over EXIF data, as in Pillow.
TEST(Avif, OrientationIsApplied) {
  const Image image = gradient(16, 32);
  const auto decoded = [&](const std::function<void(avifImage&)>& change) {
    auto encoded = without_loss(opaque(image), 32, 16);
    change(*encoded);
    return decode_image(avif_of(*encoded), "p").rgb;
  };
  const auto turned_by = [&](int orientation) { return oriented(image, orientation).rgb; };
  const int quarters[] = {1, 8, 3, 6};
  for (uint8_t angle = 0; angle < 4; ++angle)
    EXPECT_EQ(
        decoded([&](avifImage& it) { it.transformFlags |= AVIF_TRANSFORM_IROT, it.irot.angle = angle; }),
        turned_by(quarters[angle]))
        << int(angle);
  EXPECT_EQ(decoded([](avifImage& it) { it.transformFlags |= AVIF_TRANSFORM_IMIR; }), turned_by(4));
  const std::string exif = exif_of(6, true);
  const auto with_exif = [&](avifImage& it) {
    avifRWDataSet(&it.exif, reinterpret_cast<const uint8_t*>(exif.data()), exif.size());
  };
  EXPECT_EQ(decoded([&](avifImage& it) {
              with_exif(it);
              it.transformFlags |= AVIF_TRANSFORM_IROT, it.irot.angle = 2;
            }),
            turned_by(3));
}

TEST(Avif, AnimationsDamageAndSizesAreRefused) {
  const std::string good = avif_of(*without_loss(opaque(gradient(24, 32)), 32, 24));
  EXPECT_EQ(fault_of(avif_of(*without_loss(opaque(gradient(24, 32)), 32, 24), 2)), ImageFault::kUnsupported);
  for (size_t length = 40; length + 1 < good.size(); length += 23)
    EXPECT_EQ(fault_of(good.substr(0, length)), ImageFault::kDamaged) << length;
  EXPECT_EQ(fault_of(good, {.side = 31}), ImageFault::kTooLarge);
  EXPECT_EQ(fault_of(good, {.pixels = 767}), ImageFault::kTooLarge);
}

}  // namespace
}  // namespace pixart::formats
