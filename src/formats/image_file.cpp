#include "pixart/formats/image_file.h"

#include "image_codecs.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"

namespace pixart::formats {

void check_size(int64_t width, int64_t height, const std::string& name, const DecodeLimits& limits) {
  if (width < 1 || height < 1)
    throw UserError(fmt::format("{}: a picture of {} x {} pixels.", name, width, height));
  if (width > limits.side || height > limits.side || width * height > limits.pixels) {
    throw UserError(fmt::format("{}: {} x {} pixels are over the limit ({} a side, {} in all).", name, width,
                                height, limits.side, limits.pixels));
  }
}

Image composite_on_white(const uint8_t* rgba, int width, int height) {
  Image image(height, width);
  for (size_t i = 0; i < size_t(width) * size_t(height); ++i) {
    const unsigned alpha = rgba[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) {
      image.rgb[3 * i + c] = uint8_t((rgba[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
  return image;
}

Image decode_image(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  if (bytes.size() > limits.file_bytes) {
    throw UserError(fmt::format("{}: {} bytes are over the limit of {} for a picture.", name, bytes.size(),
                                limits.file_bytes));
  }
  if (bytes.starts_with("\x89PNG\r\n\x1a\n")) return decode_png(bytes, name, limits);
  if (bytes.starts_with("\xff\xd8\xff")) return decode_jpeg(bytes, name, limits);
  if (bytes.starts_with("RIFF") && bytes.substr(0, 12).ends_with("WEBP"))
    return decode_webp(bytes, name, limits);
  throw ImageError(bytes.empty() ? ImageFault::kEmpty : ImageFault::kNotAPicture,
                   fmt::format("{}: {}. Remove the file, or convert it.", name,
                               bytes.empty() ? "the file is empty" : "this is no JPEG, PNG or WebP picture"));
}

Image load_image(const std::filesystem::path& path, const DecodeLimits& limits) {
  return decode_image(read_file(path, limits.file_bytes), path.string(), limits);
}

}  // namespace pixart::formats
