#include <turbojpeg.h>

#include <memory>
#include <type_traits>

#include "image_codecs.h"
#include "pixart/base/error.h"

namespace pixart::formats {

Image decode_jpeg(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const std::unique_ptr<std::remove_pointer_t<tjhandle>, int (*)(tjhandle)> decoder(tjInitDecompress(), tjDestroy);
  PIXART_CHECK(decoder != nullptr);
  const auto* data = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto damaged = [&] { return UserError(fmt::format("{}: damaged JPEG: {}.", name, tjGetErrorStr2(decoder.get()))); };
  int width = 0, height = 0, subsampling = 0, colorspace = 0;
  if (tjDecompressHeader3(decoder.get(), data, bytes.size(), &width, &height, &subsampling, &colorspace) != 0) throw damaged();
  check_size(width, height, name, limits);
  if (colorspace == TJCS_CMYK || colorspace == TJCS_YCCK) throw UserError(fmt::format("{}: a CMYK JPEG; convert it to RGB.", name));
  Image image(height, width);
  // Warnings, such as a file that ends early, count as errors: the rest of the picture would be grey.
  if (tjDecompress2(decoder.get(), data, bytes.size(), image.rgb.data(), width, 0, height, TJPF_RGB, TJFLAG_ACCURATEDCT) != 0) throw damaged();
  return oriented(image, exif_orientation(bytes));
}

}  // namespace pixart::formats
