#include "pixart/formats/image_file.h"

#include "fuzz.h"

// Whatever the bytes say, an image is within the limits and has all its pixels.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace pixart;
  const formats::DecodeLimits limits{.side = 4096, .pixels = 1 << 20, .scans = 20, .scanned_pixels = 4 << 20};
  for (const int least_side : {0, 8}) {
    fuzz::accept_or_refuse([&] {
      const auto reduced = formats::decode_reduced(fuzz::as_text(data, size), "fuzz", least_side, limits);
      const Image& image = reduced.image;
      const bool is_whole = image.rgb.size() == size_t(3) * size_t(image.height) * size_t(image.width);
      const bool is_small =
          int64_t(image.height) * image.width <= limits.pixels && reduced.full_height >= image.height;
      if (image.height < 1 || image.width < 1 || !is_whole || !is_small) std::abort();
    });
  }
  return 0;
}
