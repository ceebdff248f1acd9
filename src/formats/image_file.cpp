#include "pixart/formats/image_file.h"

#include <algorithm>
#include <array>

#include "image_codecs.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "pixart/base/machine_fault.h"

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

ImageError damaged_image(const std::string& name, std::string_view kind, std::string_view why) {
  return {ImageFault::kDamaged, fmt::format("{}: damaged {}: {}.", name, kind, why)};
}

ImageError unsupported_image(const std::string& name, std::string_view kind, std::string_view why) {
  return {ImageFault::kUnsupported, fmt::format("{}: unsupported {}: {}.", name, kind, why)};
}

Image composite_on_white(const uint8_t* rgba, int width, int height) {
  Image image(height, width);
  for (size_t i = 0; i < size_t(width) * size_t(height); ++i) {
    const unsigned alpha = rgba[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) image.rgb[3 * i + c] = on_white(rgba[4 * i + c], alpha);
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

namespace {

using namespace std::string_view_literals;

constexpr std::string_view kPng = "\x89PNG", kJpeg = "\xff\xd8\xff", kRiff = "RIFF";

bool begins_with_one_of(std::string_view bytes, std::initializer_list<std::string_view> marks) {
  return std::any_of(marks.begin(), marks.end(), [&](auto mark) { return bytes.starts_with(mark); });
}

struct Kind {
  std::string_view ending;  // of `pixart data pack`
  bool (*is_its)(std::string_view bytes);
  Image (*decode)(std::string_view bytes, const std::string& name, const DecodeLimits& limits);  // JPEG: null
};

constexpr std::array<Kind, 7> kKinds = {{
    {"jpg", [](std::string_view bytes) { return bytes.starts_with(kJpeg); }, nullptr},
    {"png", [](std::string_view bytes) { return bytes.starts_with(kPng); }, decode_png},
    {"webp",
     [](std::string_view bytes) { return bytes.starts_with(kRiff) && bytes.substr(0, 12).ends_with("WEBP"); },
     decode_webp},
    {"avif", is_avif, decode_avif},
    {"tif",
     [](std::string_view bytes) {
       return begins_with_one_of(bytes, {"II*\0"sv, "MM\0*"sv, "II+\0"sv, "MM\0+"sv});
     },
     decode_tiff},
    {"gif",
     [](std::string_view bytes) {
       return begins_with_one_of(bytes, {"GIF87a", "GIF89a"});
     },
     decode_gif},
    {"bmp", is_bmp, decode_bmp},
}};

const Kind* kind_of(std::string_view bytes) {
  for (const auto& kind : kKinds)
    if (kind.is_its(bytes)) return &kind;
  return nullptr;
}

}  // namespace

std::span<const std::string_view> image_endings() {
  static constexpr std::array<std::string_view, 11> kEndings = {"jpg",  "jpeg", "jpe",  "jfif", "png", "webp",
                                                                "avif", "tif",  "tiff", "gif",  "bmp"};
  return kEndings;
}

std::string_view image_ending(std::string_view bytes) {
  const Kind* kind = kind_of(bytes);
  return kind == nullptr ? std::string_view() : kind->ending;
}

DecodeLimits limits_of(DamagedImages damaged) {
  constexpr int kPillowsPixels = 2 * 89'478'485;  // more is its DecompressionBombError
  DecodeLimits limits{.damaged = damaged};
  if (damaged == DamagedImages::kRead) limits.side = kPillowsPixels, limits.pixels = kPillowsPixels;
  return limits;
}

namespace {

ReducedImage decode_as(const Kind& kind, std::string_view bytes, const std::string& name, int least_side,
                       const DecodeLimits& limits) {
  return kind.decode == nullptr ? decode_jpeg(bytes, name, least_side, limits)
                                : whole(kind.decode(bytes, name, limits));
}

// What can be read in the usual way is read so, whatever is done with damaged images.
ReducedImage decode_known(const Kind& kind, std::string_view bytes, const std::string& name, int least_side,
                          DecodeLimits limits) {
  if (limits.damaged == DamagedImages::kRead) {
    limits.damaged = DamagedImages::kReject;
    try {
      return decode_as(kind, bytes, name, least_side, limits);
    } catch (const ImageError& error) {
      if (error.fault() != ImageFault::kDamaged && error.fault() != ImageFault::kUnsupported) throw;
      limits.damaged = DamagedImages::kRead;
    }
  }
  return decode_as(kind, bytes, name, least_side, limits);
}

// The kind of the image; throws ImageError if it is none of them, or too large.
const Kind& known_kind_of(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  if (bytes.empty())
    throw ImageError(ImageFault::kEmpty,
                     fmt::format("{}: the file is empty. Remove the file, or convert it.", name));
  if (bytes.size() > limits.file_bytes) {
    throw ImageError(ImageFault::kTooLarge, fmt::format("{}: {} bytes are over the limit of {} for an image.",
                                                        name, bytes.size(), limits.file_bytes));
  }
  if (const Kind* kind = kind_of(bytes); kind != nullptr) return *kind;
  if (kPng.starts_with(bytes) || kJpeg.starts_with(bytes) || (bytes.size() < 12 && bytes.starts_with(kRiff)))
    throw ImageError(ImageFault::kDamaged,
                     fmt::format("{}: damaged image: the file ends after {} bytes.", name, bytes.size()));
  const std::string_view content = likely_content(bytes);
  throw ImageError(
      ImageFault::kNotAnImage,
      fmt::format("{}: not a JPEG, PNG, WebP, AVIF, TIFF, GIF or BMP image{}{}. Remove the file, or "
                  "convert it.",
                  name, content.empty() ? "" : "; it seems to be ", content));
}

}  // namespace

ReducedImage decode_reduced(std::string_view bytes, const std::string& name, int least_side,
                            const DecodeLimits& limits) {
  return decode_known(known_kind_of(bytes, name, limits), bytes, name, least_side, limits);
}

ImageSize size_of_image(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const Kind& kind = known_kind_of(bytes, name, limits);
  const bool reads_damaged =
      limits.damaged == DamagedImages::kRead;  // what is usable is known after decoding
  if (!reads_damaged && kind.decode == nullptr) return size_of_jpeg(bytes, name, limits);
  if (!reads_damaged && kind.decode == decode_png) return size_of_png(bytes, name, limits);
  const Image image = decode_known(kind, bytes, name, 0, limits).image;
  return {.height = image.height, .width = image.width};
}

Image load_image(const std::filesystem::path& path, const DecodeLimits& limits) {
  std::string bytes;
  try {
    bytes = read_file(path, limits.file_bytes);
  } catch (const MachineFault&) {
    throw;
  } catch (const UserError& error) {
    std::error_code none;
    const auto size = std::filesystem::file_size(path, none);
    throw ImageError(!none && size > limits.file_bytes ? ImageFault::kTooLarge : ImageFault::kUnreadable,
                     error.what(), error.code());
  }
  return decode_image(bytes, path.string(), limits);
}

}  // namespace pixart::formats
