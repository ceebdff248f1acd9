#include <turbojpeg.h>

#include <memory>

#include "pixart/base/error.h"
#include "pixart/formats/image_file.h"

namespace pixart::formats {

std::string encode_jpeg(const Image& image, int quality) {
  PIXART_CHECK(image.width > 0 && image.height > 0 && quality >= 1 && quality <= 100,
               "a JPEG of {} x {}, quality {}", image.width, image.height, quality);
  const std::unique_ptr<void, int (*)(tjhandle)> compressor(tjInitCompress(), tjDestroy);
  PIXART_CHECK(compressor != nullptr, "tjInitCompress");
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  const int failed = tjCompress2(compressor.get(), image.rgb.data(), image.width, 0, image.height, TJPF_RGB,
                                 &bytes, &size, TJSAMP_420, quality, TJFLAG_ACCURATEDCT);
  const std::unique_ptr<unsigned char, void (*)(unsigned char*)> owner(bytes, tjFree);
  PIXART_CHECK(failed == 0, "JPEG: {}", tjGetErrorStr2(compressor.get()));
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace pixart::formats
