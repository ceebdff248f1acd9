// Pictures in memory, decoding them, and PNG files.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

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

// PNG, written atomically; `text` becomes tEXt/iTXt chunks (prompt, seed, ...).
void save_png(const std::filesystem::path& path, const Image& image,
              const std::map<std::string, std::string>& text = {});

// JPEG in memory, 4:2:0; quality 1 ... 100.
std::string encode_jpeg(const Image& image, int quality);

// The same in memory.
std::string encode_png(const Image& image, const std::map<std::string, std::string>& text = {});

// The text chunks of a PNG, as save_png() writes them (compressed ones are left out). Throws UserError if the
// file is no PNG or is damaged.
std::map<std::string, std::string> read_png_text(const std::filesystem::path& path);

// What keeps a picture from being decoded.
enum class ImageFault {
  kEmpty,        // no bytes
  kNotAPicture,  // other content: GIF, HTML, an archive, ...
  kUnsupported,  // animation; a JPEG process, precision or colour space that libjpeg-turbo does not take
  kDamaged,      // cut off, wrong checksum, a warning of the decoder
  kTooLarge,     // beyond DecodeLimits
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

// Limits before allocation, and before work: every scan of a JPEG passes over all its pixels again, so that a
// few kilobytes could keep a decoder busy for minutes. Cameras and encoders write about ten scans.
struct DecodeLimits {
  uint64_t file_bytes = uint64_t{64} << 20;
  int side = 32768;
  int64_t pixels = 100'000'000;
  int scans = 500;
  int64_t scanned_pixels = 2'000'000'000;  // pixels times scans
};

// Decodes JPEG, PNG or WebP, recognised by content, to RGB: grey is spread, CMYK converted, 16 bit reduced to
// the high byte, alpha composited on white, EXIF orientation applied. libjpeg warnings (truncated file) are
// errors, as are animations. Throws ImageError naming `name` and the reason.
Image decode_image(std::string_view bytes, const std::string& name, const DecodeLimits& limits = {});

// For a picture that will be made smaller anyway.
struct ReducedImage {
  Image image;
  int full_height = 0, full_width = 0;  // of the whole picture, upright
  int reduction = 1;                    // 2: each pixel stands for 2 x 2; the last ones may lie half outside
};
ReducedImage whole(Image image);  // not reduced

// As decode_image(), but a JPEG whose shorter side is at least 2 * least_side is decoded at half its size,
// which leaves out half of the work: each block's lower frequencies give 4 x 4 pixels instead of 8 x 8. Other
// pictures, and all with least_side 0, come in full. What is wrong with a file is found in both cases.
// Quarters are not used: they differ from the whole picture three times as much (tools/bench/decode.cpp
// measures), and reading the Huffman codes, which all need, is by then most of the time.
ReducedImage decode_reduced(std::string_view bytes, const std::string& name, int least_side,
                            const DecodeLimits& limits = {});
Image load_image(const std::filesystem::path& path, const DecodeLimits& limits = {});

}  // namespace formats
}  // namespace pixart
