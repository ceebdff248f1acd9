#include "pixart/formats/image_file.h"

#include "image_codecs.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"

namespace pixart::formats {

void check_size(int64_t width, int64_t height, const std::string& name, const DecodeLimits& limits) {
  if (width < 1 || height < 1)
    throw ImageError(ImageFault::kDamaged,
                     fmt::format("{}: an image of {} x {} pixels.", name, width, height));
  if (width > limits.side || height > limits.side || width * height > limits.pixels) {
    throw ImageError(ImageFault::kTooLarge,
                     fmt::format("{}: {} x {} pixels are over the limit ({} a side, {} in all).", name, width,
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

ReducedImage whole(Image image) {
  const int height = image.height, width = image.width;
  return {.image = std::move(image), .full_height = height, .full_width = width};
}

Image decode_image(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  return decode_reduced(bytes, name, 0, limits).image;
}

ReducedImage decode_reduced(std::string_view bytes, const std::string& name, int least_side,
                            const DecodeLimits& limits) {
  constexpr std::string_view kPng = "\x89PNG", kJpeg = "\xff\xd8\xff", kWebp = "RIFF";
  if (bytes.empty())
    throw ImageError(ImageFault::kEmpty,
                     fmt::format("{}: the file is empty. Remove the file, or convert it.", name));
  if (bytes.size() > limits.file_bytes) {
    throw ImageError(ImageFault::kTooLarge, fmt::format("{}: {} bytes are over the limit of {} for an image.",
                                                        name, bytes.size(), limits.file_bytes));
  }
  if (bytes.starts_with(kPng)) return whole(decode_png(bytes, name, limits));
  if (bytes.starts_with(kJpeg)) return decode_jpeg(bytes, name, least_side, limits);
  if (bytes.starts_with(kWebp) && bytes.substr(0, 12).ends_with("WEBP"))
    return whole(decode_webp(bytes, name, limits));
  if (kPng.starts_with(bytes) || kJpeg.starts_with(bytes) || (bytes.size() < 12 && bytes.starts_with(kWebp)))
    throw ImageError(ImageFault::kDamaged,
                     fmt::format("{}: damaged image: the file ends after {} bytes.", name, bytes.size()));
  const std::string_view content = likely_content(bytes);
  throw ImageError(ImageFault::kNotAnImage,
                   fmt::format("{}: not a JPEG, PNG or WebP image{}{}. Remove the file, or convert it.", name,
                               content.empty() ? "" : "; it seems to be ", content));
}

Image load_image(const std::filesystem::path& path, const DecodeLimits& limits) {
  std::string bytes;
  try {
    bytes = read_file(path, limits.file_bytes);
  } catch (const UserError& error) {
    std::error_code none;
    const auto size = std::filesystem::file_size(path, none);
    throw ImageError(!none && size > limits.file_bytes ? ImageFault::kTooLarge : ImageFault::kUnreadable,
                     error.what(), error.code());
  }
  return decode_image(bytes, path.string(), limits);
}

}  // namespace pixart::formats
