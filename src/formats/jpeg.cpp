#include <turbojpeg.h>

#include <algorithm>
#include <array>
#include <memory>
#include <type_traits>

#include "image_codecs.h"
#include "pixart/base/error.h"

namespace pixart::formats {

JpegFrame frame_of_jpeg(std::string_view jpeg) {
  JpegFrame frame;
  const auto byte = [&](size_t i) { return int(uint8_t(jpeg[i])); };
  for (size_t at = jpeg.find('\xff'); at != std::string_view::npos && at + 4 <= jpeg.size();
       at = jpeg.find('\xff', at)) {
    const int marker = byte(at + 1);
    const bool is_alone = marker <= 0x01 || (marker >= 0xD0 && marker <= 0xD8);
    if (marker == 0xD9) break;         // end of the image
    if (marker == 0xFF || is_alone) {  // filling, stuffed data, restarts
      at += marker == 0xFF ? 1 : 2;
      continue;
    }
    if (marker == 0xDA) ++frame.scans;
    const bool is_frame =
        marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
    if (is_frame && frame.process < 0 && at + 5 <= jpeg.size()) {
      frame.process = marker;
      frame.precision = byte(at + 4);
    }
    at += 2 + size_t(byte(at + 2) << 8 | byte(at + 3));
  }
  return frame;
}

namespace {

using Decoder = std::unique_ptr<std::remove_pointer_t<tjhandle>, int (*)(tjhandle)>;

struct Header {
  int width = 0, height = 0, subsampling = 0, colorspace = 0;
};

struct Size {
  int width = 0, height = 0;
};

// Half of an odd size rounds up, as in the library.
Size decoded_size(const Header& header, int least_side) {
  const bool is_half = least_side > 0 && std::min(header.width, header.height) / 2 >= least_side;
  if (!is_half) return {header.width, header.height};
  return {(header.width + 1) / 2, (header.height + 1) / 2};
}

// The library reports errors only as text. An unsupported process or precision is recognised by the frame.
ImageFault fault_of(const JpegFrame& frame, std::string_view message) {
  const auto says = [&](std::string_view part) { return message.find(part) != std::string_view::npos; };
  if (says("Maximum supported image dimension") || says("Insufficient memory")) return ImageFault::kTooLarge;
  constexpr std::array<int, 5> kTaken = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA};
  const bool odd_frame =
      frame.process >= 0 &&
      (std::count(kTaken.begin(), kTaken.end(), frame.process) == 0 || frame.precision != 8);
  const bool odd_words = says("Could not determine") || says("not implemented") || says("not supported") ||
                         says("omitted at compile time") || says("Unsupported color conversion");
  return odd_frame || odd_words ? ImageFault::kUnsupported : ImageFault::kDamaged;
}

ImageError refusal(const Decoder& decoder, std::string_view bytes, const std::string& name) {
  const std::string message = tjGetErrorStr2(decoder.get());
  const ImageFault fault = fault_of(frame_of_jpeg(bytes), message);
  return {fault, fmt::format("{}: {} JPEG: {}.", name,
                             fault == ImageFault::kDamaged ? "damaged" : "unsupported", message)};
}

// libjpeg-turbo checks its own limit (500) only after it has decoded that many scans.
void check_scans(std::string_view bytes, const Header& header, const std::string& name,
                 const DecodeLimits& limits) {
  const int scans = frame_of_jpeg(bytes).scans;
  const int64_t pixels = int64_t(header.width) * header.height;
  if (scans > limits.scans || scans * pixels > limits.scanned_pixels)
    throw ImageError(
        ImageFault::kTooLarge,
        fmt::format("{}: {} scans of {} x {} pixels are over the limit ({} scans, {} pixels in "
                    "all scans). Save the image again.",
                    name, scans, header.width, header.height, limits.scans, limits.scanned_pixels));
}

// Warnings, such as a file that ends early, count as errors: the rest of the image would be grey. The library
// scales to the requested size.
void decode(const Decoder& decoder, std::string_view bytes, const Size& size, uint8_t* out, int format,
            const std::string& name) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (tjDecompress2(decoder.get(), data, bytes.size(), out, size.width, 0, size.height, format,
                    TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) != 0) {
    throw refusal(decoder, bytes, name);
  }
}

// Print colours (CMYK) are inverted, as Adobe's programs store them; they are converted without a colour
// profile, as in Pillow.
Image from_inverted_cmyk(const std::vector<uint8_t>& cmyk, const Size& size) {
  Image image(size.height, size.width);
  for (size_t i = 0; i < cmyk.size() / 4; ++i) {
    const unsigned black = cmyk[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) image.rgb[3 * i + c] = uint8_t((cmyk[4 * i + c] * black + 127) / 255);
  }
  return image;
}

Image decode_stored(const Decoder& decoder, std::string_view bytes, const Header& header, const Size& size,
                    const std::string& name) {
  if (header.colorspace == TJCS_CMYK || header.colorspace == TJCS_YCCK) {
    std::vector<uint8_t> cmyk(size_t(size.width) * size_t(size.height) * 4);
    decode(decoder, bytes, size, cmyk.data(), TJPF_CMYK, name);
    return from_inverted_cmyk(cmyk, size);
  }
  Image image(size.height, size.width);
  decode(decoder, bytes, size, image.rgb.data(), TJPF_RGB, name);
  return image;
}

}  // namespace

ReducedImage decode_jpeg(std::string_view bytes, const std::string& name, int least_side,
                         const DecodeLimits& limits) {
  const Decoder decoder(tjInitDecompress(), tjDestroy);
  PIXART_CHECK(decoder != nullptr);
  Header header;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &header.width, &header.height,
                          &header.subsampling, &header.colorspace) != 0) {
    throw refusal(decoder, bytes, name);
  }
  if (header.width == 0 && header.height == 0)  // libjpeg accepts a file that has only tables
    throw ImageError(ImageFault::kDamaged,
                     fmt::format("{}: damaged JPEG: the file ends before its image.", name));
  check_size(header.width, header.height, name, limits);
  check_scans(bytes, header, name, limits);
  const Size size = decoded_size(header, least_side);
  Image stored = decode_stored(decoder, bytes, header, size, name);
  const int orientation = orientation_of_jpeg(bytes);
  const bool is_turned = orientation > 4;  // rows become columns
  return {.image = oriented(std::move(stored), orientation),
          .full_height = is_turned ? header.width : header.height,
          .full_width = is_turned ? header.height : header.width,
          .reduction = size.width == header.width ? 1 : 2};
}

}  // namespace pixart::formats
