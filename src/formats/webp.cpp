#include <webp/decode.h>
#include <webp/demux.h>

#include "image_codecs.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

constexpr std::string_view kKind = "WebP";

// The data of a chunk of an extended file, whose header must announce it (`flag`), as libwebp demands. RIFF
// chunks have a four-letter name, a length, and data padded to an even length.
std::string_view chunk_of(std::string_view webp, std::string_view wanted, uint8_t flag) {
  constexpr size_t kFlags = 20;
  if (webp.size() <= kFlags || webp.substr(12, 4) != "VP8X" || (uint8_t(webp[kFlags]) & flag) == 0) return {};
  for (size_t at = 12; at + 8 <= webp.size();) {
    const size_t length = from_little_endian(webp, at + 4, 4);
    if (webp.substr(at, 4) == wanted) return webp.substr(at + 8, length);
    at += 8 + length + length % 2;
  }
  return {};
}

int orientation_of_webp(std::string_view webp) {
  return orientation_of(chunk_of(webp, "EXIF", EXIF_FLAG), chunk_of(webp, "XMP ", XMP_FLAG));
}

// An animation of one frame, which some programs write for a still image: the frame may be smaller than the
// canvas. With `takes_first` one of several frames.
Image decode_first_frame(std::string_view bytes, const std::string& name, int width, int height,
                         bool takes_first) {
  const WebPData data{reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
  const std::unique_ptr<WebPDemuxer, void (*)(WebPDemuxer*)> demuxer(WebPDemux(&data), WebPDemuxDelete);
  if (!demuxer) throw damaged_image(name, kKind, "it may be cut off");
  if (const uint32_t frames = WebPDemuxGetI(demuxer.get(), WEBP_FF_FRAME_COUNT); frames != 1 && !takes_first)
    throw unsupported_image(name, kKind,
                            fmt::format("animated, {} frames; expected one still image", frames));
  WebPAnimDecoderOptions options;
  WebPAnimDecoderOptionsInit(&options);
  options.color_mode = MODE_RGBA;
  options.use_threads = 0;
  const std::unique_ptr<WebPAnimDecoder, void (*)(WebPAnimDecoder*)> decoder(
      WebPAnimDecoderNew(&data, &options), WebPAnimDecoderDelete);
  uint8_t* canvas = nullptr;
  int milliseconds = 0;
  if (!decoder || WebPAnimDecoderGetNext(decoder.get(), &canvas, &milliseconds) == 0)
    throw damaged_image(name, kKind, "its frame cannot be decoded");
  return composite_on_white(canvas, width, height);
}

Image decode_still(std::string_view bytes, const std::string& name, const WebPBitstreamFeatures& features) {
  const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
  const int width = features.width, height = features.height;
  const auto check = [&](const uint8_t* decoded) {
    if (decoded == nullptr) throw damaged_image(name, kKind, "it may be cut off");
  };
  if (!features.has_alpha) {
    Image image(height, width);
    check(WebPDecodeRGBInto(data, bytes.size(), image.rgb.data(), image.rgb.size(), width * 3));
    return image;
  }
  std::vector<uint8_t> rgba(size_t(width) * size_t(height) * 4);
  check(WebPDecodeRGBAInto(data, bytes.size(), rgba.data(), rgba.size(), width * 4));
  return composite_on_white(rgba.data(), width, height);
}

}  // namespace

Image decode_webp(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  WebPBitstreamFeatures features;
  const VP8StatusCode status =
      WebPGetFeatures(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size(), &features);
  if (status == VP8_STATUS_UNSUPPORTED_FEATURE)
    throw unsupported_image(name, kKind, "it uses a feature that libwebp does not have");
  if (status != VP8_STATUS_OK) throw damaged_image(name, kKind, "its header is damaged or cut off");
  check_size(features.width, features.height, name, limits);
  const bool takes_first = limits.damaged == DamagedImages::kRead;
  Image image = features.has_animation
                    ? decode_first_frame(bytes, name, features.width, features.height, takes_first)
                    : decode_still(bytes, name, features);
  return oriented(std::move(image), orientation_of_webp(bytes));
}

}  // namespace pixart::formats
