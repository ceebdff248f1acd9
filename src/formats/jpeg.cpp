#include <turbojpeg.h>

#include <memory>
#include <type_traits>

#include "image_codecs.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

using Decoder = std::unique_ptr<std::remove_pointer_t<tjhandle>, int (*)(tjhandle)>;

struct Header {
  int width = 0, height = 0, subsampling = 0, colorspace = 0;
};

// Warnings, such as a file that ends early, count as errors: the rest of the picture would be grey. Files
// with very many progressive scans, which take minutes to decode, are refused as well.
void decode(const Decoder& decoder, std::string_view bytes, const Header& header, uint8_t* out, int format,
            const std::string& name) {
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (tjDecompress2(decoder.get(), data, bytes.size(), out, header.width, 0, header.height, format,
                    TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS) != 0) {
    throw UserError(fmt::format("{}: damaged JPEG: {}.", name, tjGetErrorStr2(decoder.get())));
  }
}

// Print colours as Adobe's programs store them, inverted; without a colour profile, as Pillow converts them.
Image from_inverted_cmyk(const std::vector<uint8_t>& cmyk, const Header& header) {
  Image image(header.height, header.width);
  for (size_t i = 0; i < cmyk.size() / 4; ++i) {
    const unsigned black = cmyk[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) image.rgb[3 * i + c] = uint8_t((cmyk[4 * i + c] * black + 127) / 255);
  }
  return image;
}

}  // namespace

Image decode_jpeg(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const Decoder decoder(tjInitDecompress(), tjDestroy);
  PIXART_CHECK(decoder != nullptr);
  Header header;
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &header.width, &header.height,
                          &header.subsampling, &header.colorspace) != 0) {
    throw UserError(fmt::format("{}: damaged JPEG: {}.", name, tjGetErrorStr2(decoder.get())));
  }
  check_size(header.width, header.height, name, limits);
  if (header.colorspace == TJCS_CMYK || header.colorspace == TJCS_YCCK) {
    std::vector<uint8_t> cmyk(size_t(header.width) * size_t(header.height) * 4);
    decode(decoder, bytes, header, cmyk.data(), TJPF_CMYK, name);
    return oriented(from_inverted_cmyk(cmyk, header), orientation_of_jpeg(bytes));
  }
  Image image(header.height, header.width);
  decode(decoder, bytes, header, image.rgb.data(), TJPF_RGB, name);
  return oriented(std::move(image), orientation_of_jpeg(bytes));
}

}  // namespace pixart::formats
