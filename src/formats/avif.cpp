#include <avif/avif.h>

#include <new>

#include "image_codecs.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

constexpr std::string_view kKind = "AVIF";

using Decoder = std::unique_ptr<avifDecoder, void (*)(avifDecoder*)>;

avifROData data_of(std::string_view bytes) {
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

std::string_view text_of(const avifRWData& data) {
  return {reinterpret_cast<const char*>(data.data), data.size};
}

void check(avifResult result, const Decoder& decoder, const std::string& name) {
  if (result == AVIF_RESULT_OK) return;
  if (result == AVIF_RESULT_OUT_OF_MEMORY) throw std::bad_alloc();
  const bool is_odd = result == AVIF_RESULT_NOT_IMPLEMENTED || result == AVIF_RESULT_UNSUPPORTED_DEPTH ||
                      result == AVIF_RESULT_NO_CODEC_AVAILABLE;
  const std::string why = fmt::format("{}{}{}", avifResultToString(result),
                                      *decoder->diag.error == 0 ? "" : ", ", decoder->diag.error);
  throw is_odd ? unsupported_image(name, kKind, why) : damaged_image(name, kKind, why);
}

// The turns that the container itself orders, as an EXIF orientation; Pillow lets them win over EXIF data.
int orientation_of_container(const avifImage& image) {
  const bool is_turned = (image.transformFlags & AVIF_TRANSFORM_IROT) != 0;
  const bool is_mirrored = (image.transformFlags & AVIF_TRANSFORM_IMIR) != 0;
#if AVIF_VERSION >= 1000000
  const bool swaps_sides = image.imir.axis != 0;  // left and right, not top and bottom
#else
  const bool swaps_sides = image.imir.mode != 0;
#endif
  constexpr int kTurned[] = {1, 8, 3, 6}, kThenTop[] = {4, 5, 2, 7}, kThenSides[] = {2, 7, 4, 5};
  const int angle = is_turned ? image.irot.angle & 3 : 0;
  if (!is_mirrored) return kTurned[angle];
  return swaps_sides ? kThenSides[angle] : kThenTop[angle];
}

int orientation_of_avif(const avifImage& image) {
  const int container = orientation_of_container(image);
  if (container != 1 || orientation_of_exif(text_of(image.exif)) != 1) return container;
  return orientation_of(text_of(image.exif), text_of(image.xmp));
}

Image pixels_of(const avifDecoder& decoder, const std::string& name) {
  const avifImage& stored = *decoder.image;
  const int width = int(stored.width), height = int(stored.height);
  avifRGBImage target;
  avifRGBImageSetDefaults(&target, &stored);
  target.depth = 8;
  target.format = decoder.alphaPresent ? AVIF_RGB_FORMAT_RGBA : AVIF_RGB_FORMAT_RGB;
  const size_t channels = decoder.alphaPresent ? 4 : 3;
  std::vector<uint8_t> pixels(size_t(width) * size_t(height) * channels);
  target.pixels = pixels.data();
  target.rowBytes = uint32_t(size_t(width) * channels);
  const avifResult result = avifImageYUVToRGB(&stored, &target);
  if (result != AVIF_RESULT_OK) throw damaged_image(name, kKind, avifResultToString(result));
  if (decoder.alphaPresent) return composite_on_white(pixels.data(), width, height);
  Image image;
  image.height = height, image.width = width;
  image.rgb = std::move(pixels);
  return image;
}

}  // namespace

bool is_avif(std::string_view bytes) {
  const avifROData data = data_of(bytes);
  return bytes.substr(0, 8).ends_with("ftyp") && avifPeekCompatibleFileType(&data) == AVIF_TRUE;
}

Image decode_avif(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const Decoder decoder(avifDecoderCreate(), avifDecoderDestroy);
  if (!decoder) throw std::bad_alloc();
  decoder->maxThreads = 1;
  decoder->imageDimensionLimit = 0;  // check_size() says which limit an image exceeds
  // As in Pillow: older encoders leave out or break these properties, which change no pixel.
  decoder->strictFlags &= avifStrictFlags(~(AVIF_STRICT_CLAP_VALID | AVIF_STRICT_PIXI_REQUIRED));
  check(avifDecoderSetIOMemory(decoder.get(), data_of(bytes).data, bytes.size()), decoder, name);
  check(avifDecoderParse(decoder.get()), decoder, name);
  const bool takes_first = limits.damaged == DamagedImages::kRead;
  if (decoder->imageCount != 1 && !takes_first)
    throw unsupported_image(
        name, kKind, fmt::format("animated, {} frames; expected one still image", decoder->imageCount));
  check_size(decoder->image->width, decoder->image->height, name, limits);
  decoder->imageSizeLimit = uint32_t(limits.pixels);  // of the frame, whose size the container may misstate
  check(avifDecoderNextImage(decoder.get()), decoder, name);
  check_size(decoder->image->width, decoder->image->height, name, limits);
  return oriented(pixels_of(*decoder, name), orientation_of_avif(*decoder->image));
}

}  // namespace pixart::formats
