// Images in memory, image decoders, PNG and JPEG writers.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/base/error.h"

namespace pixart {

// 8-bit RGB, row-major [height, width, 3].
struct Image {
  int height = 0, width = 0;
  std::vector<uint8_t> rgb;
  Image() = default;
  Image(int h, int w, uint8_t value = 0) : height(h), width(w), rgb(size_t(h) * w * 3, value) {}
  uint8_t* at(int y, int x) { return rgb.data() + (size_t(y) * width + x) * 3; }
  const uint8_t* at(int y, int x) const { return rgb.data() + (size_t(y) * width + x) * 3; }
};

namespace formats {

// Writes a PNG atomically; `text` becomes tEXt/iTXt chunks (prompt, seed, ...). `progress` is called again
// and again while the image is compressed, and may throw.
void save_png(
    const std::filesystem::path& path, const Image& image,
    const std::map<std::string, std::string>& text = {}, const std::function<void()>& progress = [] {});

// A JPEG in memory, 4:2:0; quality 1 ... 100.
std::string encode_jpeg(const Image& image, int quality);

// A PNG in memory, with the same text chunks.
std::string encode_png(
    const Image& image, const std::map<std::string, std::string>& text = {},
    const std::function<void()>& progress = [] {});

// The text chunks of a PNG that save_png() wrote (compressed chunks are left out). Throws UserError if the
// file is not a PNG or is damaged.
std::map<std::string, std::string> read_png_text(const std::filesystem::path& path);

// Why an image cannot be decoded.
enum class ImageFault {
  kEmpty,        // no bytes
  kNotAnImage,   // other content: HEIC, HTML, an archive, ...
  kUnsupported,  // animation; a process, precision or colour space that the library does not support
  kDamaged,      // cut off, wrong checksum, or a fault in the pixels that the decoder found
  kTooLarge,     // beyond DecodeLimits
  kTooThin,      // so long and narrow that it cannot be resized
  kUnreadable,   // load_image(): the file cannot be read
};

class ImageError : public UserError {
 public:
  ImageError(ImageFault fault, const std::string& message, ExitCode code = ExitCode::kBadInput)
      : UserError(message, code), fault_(fault) {}
  ImageFault fault() const { return fault_; }

 private:
  ImageFault fault_;
};

// What becomes of an image whose content is damaged although pixels can be read, and of animations.
enum class DamagedImages {
  kReject,  // an error
  kRead,    // read where Pillow reads it, wrong pixels included; of an animation the first image
};
inline EnumWords<DamagedImages> enum_words(DamagedImages) {
  return {{"reject", DamagedImages::kReject}, {"read", DamagedImages::kRead}};
}

// Limits that are checked before memory is allocated and before pixels are decoded. Every scan of a JPEG
// passes over all pixels again, so a few kilobytes could take minutes. Cameras and encoders write about ten
// scans.
struct DecodeLimits {
  uint64_t file_bytes = uint64_t{64} << 20;
  int side = 32768;
  int64_t pixels = 100'000'000;
  int scans = 500;
  int64_t scanned_pixels = 2'000'000'000;  // pixels times scans
  DamagedImages damaged = DamagedImages::kReject;
};
// With kRead, images of as many pixels as Pillow takes, whatever their sides. Such an image takes 1.3 GB while
// it is decoded, in each thread that reads images; the usual limit is lower for that reason.
DecodeLimits limits_of(DamagedImages damaged);

// Decodes JPEG, PNG, WebP, AVIF, TIFF, GIF or BMP (recognised by content) to RGB: grey is copied to three
// channels, palettes and CMYK are converted, 16 bit reduced to the high byte, alpha composited on white, and
// the orientation applied that EXIF (or XMP) data demand. The pixels are those of Pillow's convert("RGB")
// after exif_transpose(), except for alpha. Of a GIF the first image is taken, of a TIFF file the first page;
// animations of the other formats are errors. So are warnings of libjpeg about the pixels (a file that ends
// early), but not those about odd headers. Throws ImageError naming `name` and the reason, and
// std::bad_alloc.
// With DamagedImages::kRead, an image that is an error for its content is tried again as Pillow reads it. Passed over
// are warnings of libjpeg, wrong checksums of a PNG's pixels, bytes between the parts of a GIF, wrong tags of a TIFF
// file, and the frames after the first. A file that ends before its last pixel stays an error, as in Pillow; so does a
// PNG whose compressed data are complete, but too short, which Pillow takes. The pixels are Pillow's, but other
// versions of libjpeg fill the gaps of progressive files in another way, and some wrong codes of a GIF, which Pillow
// refuses, give wrong pixels.
Image decode_image(std::string_view bytes, const std::string& name, const DecodeLimits& limits = {});

// 8-bit RGBA, row-major [height, width, 4]; colours are not multiplied by alpha.
struct RgbaImage {
  int height = 0, width = 0;
  std::vector<uint8_t> rgba = {};
};
// A PNG with its alpha (255 where it has none), not turned as EXIF demands: for comparisons with programs that
// have another rule for transparent pixels. Throws ImageError, also for other formats.
RgbaImage decode_png_with_alpha(std::string_view bytes, const std::string& name,
                                const DecodeLimits& limits = {});

// The endings of the names of such files, in lower case without the dot; of several images of a sample in a
// tar file the one whose ending is first counts.
std::span<const std::string_view> image_endings();

// The ending for a name, by content: "jpg", "png", ...; "" for other content.
std::string_view image_ending(std::string_view bytes);

// The size of the image that decode_image() returns. Of a JPEG or PNG it is read from the header, so damage of the
// pixels is not found. Throws ImageError.
struct ImageSize {
  int height = 0, width = 0;
  bool operator==(const ImageSize&) const = default;
};
ImageSize size_of_image(std::string_view bytes, const std::string& name, const DecodeLimits& limits = {});

// An image that may have been decoded at half its size, because it will be made smaller anyway.
struct ReducedImage {
  Image image;
  int full_height = 0, full_width = 0;  // of the full-size image, upright
  int reduction = 1;                    // 2: a pixel covers 2 x 2; the last may be half outside the image
  uint32_t checksum = 0;                // CRC32C of the encoded image, at least 1; 0: it was drawn
};
ReducedImage whole(Image image);  // with reduction 1

// Like decode_image(), but a JPEG whose shorter side is at least 2 * least_side is decoded at half its size.
// That halves the work: the lower frequencies of each block give 4 x 4 pixels instead of 8 x 8. Other images,
// and all images with least_side 0, have full size. Damage is found in both cases. A quarter of the size is
// not used: it differs from the full image three times as much (measured by tools/bench/decode.cpp) and saves
// little, because most of the time is then spent on the Huffman codes, which must be read at any size.
ReducedImage decode_reduced(std::string_view bytes, const std::string& name, int least_side,
                            const DecodeLimits& limits = {});
Image load_image(const std::filesystem::path& path, const DecodeLimits& limits = {});

}  // namespace formats
}  // namespace pixart
