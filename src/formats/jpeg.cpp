#include <cstddef>
#include <cstdio>
// libjpeg's headers need the two above.
#include <jerror.h>
#include <jpeglib.h>

#include <algorithm>
#include <array>
#include <csetjmp>
#include <new>
#include <vector>

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

// libjpeg reports errors by longjmp, which runs no destructors. So everything that it uses is here, each
// function that calls setjmp has only plain pointers, and it returns false after a jump.
struct Decoder {
  jpeg_decompress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf jump{};
  const unsigned char* data = nullptr;
  int code = 0, most_scans = 0;  // `code`: of the error; 0 for too many scans
  bool reads_damaged = false, has_all_rows = false;
  char message[JMSG_LENGTH_MAX] = {};
  std::array<JSAMPROW, 16> rows{};

  Decoder() = default;
  ~Decoder() { jpeg_destroy_decompress(&jpeg); }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;
};

Decoder& decoder_of(j_common_ptr jpeg) { return *static_cast<Decoder*>(jpeg->client_data); }

[[noreturn]] void fail(j_common_ptr jpeg) {
  Decoder& decoder = decoder_of(jpeg);
  decoder.code = jpeg->err->msg_code;
  jpeg->err->format_message(jpeg, decoder.message);
  std::longjmp(decoder.jump, 1);
}

// Warnings that change no pixel: odd numbers in headers. Most others are about data that is missing or wrong
// (a file that ends early, bad Huffman codes, lost restart markers): the rest of the image would be grey.
bool is_harmless(int code) {
  return code == JWRN_JFIF_MAJOR || code == JWRN_NOT_SEQUENTIAL || code == JWRN_ADOBE_XFORM ||
         code == JWRN_BOGUS_ICC;
}

// Bytes that belong to nothing. Before the first scan they are harmless. After a scan they are what its codes
// did not need: filling, or codes that were lost because others before them are wrong.
bool is_harmless_extra(const Decoder& decoder) {
  if (decoder.jpeg.input_scan_number == 0) return true;
  const JOCTET* end = decoder.jpeg.src->next_input_byte;
  const auto count = std::min<ptrdiff_t>(decoder.errors.msg_parm.i[0], end - decoder.data);
  return std::all_of(end - count, end, [](JOCTET byte) { return byte == 0x00 || byte == 0xFF; });
}

// The end of the file counts before the last row only.
bool is_read_all_the_same(const Decoder& decoder, int code) {
  return decoder.reads_damaged && (code != JWRN_JPEG_EOF || decoder.has_all_rows);
}

void take_message(j_common_ptr jpeg, int level) {
  const int code = jpeg->err->msg_code;
  const bool is_warning = level < 0;
  const Decoder& decoder = decoder_of(jpeg);
  if (!is_warning || is_harmless(code) || is_read_all_the_same(decoder, code)) return;
  if (code == JWRN_EXTRANEOUS_DATA && is_harmless_extra(decoder)) return;
  fail(jpeg);
}

void print_nothing(j_common_ptr) {}

void check_progress(j_common_ptr jpeg) {
  Decoder& decoder = decoder_of(jpeg);
  if (jpeg->is_decompressor == 0 || decoder.jpeg.input_scan_number <= decoder.most_scans) return;
  decoder.code = 0;
  std::longjmp(decoder.jump, 1);
}

bool read_header(Decoder& decoder, const unsigned char* data, size_t bytes, const DecodeLimits& limits) {
  decoder.jpeg.err = jpeg_std_error(&decoder.errors);
  decoder.errors.error_exit = fail;
  decoder.errors.emit_message = take_message;
  decoder.errors.output_message = print_nothing;
  decoder.jpeg.client_data = &decoder;
  decoder.data = data;
  decoder.most_scans = limits.scans;
  decoder.reads_damaged = limits.damaged == DamagedImages::kRead;
  if (setjmp(decoder.jump)) return false;
  jpeg_create_decompress(&decoder.jpeg);
  decoder.progress.progress_monitor = check_progress;
  decoder.jpeg.progress = &decoder.progress;
  jpeg_mem_src(&decoder.jpeg, data, static_cast<unsigned long>(bytes));
  jpeg_read_header(&decoder.jpeg, TRUE);
  return true;
}

bool is_print(const Decoder& decoder) {
  return decoder.jpeg.jpeg_color_space == JCS_CMYK || decoder.jpeg.jpeg_color_space == JCS_YCCK;
}

// Decodes at 1 / `reduction` of the size. A row of `out` has `row_bytes` bytes.
bool read_rows(Decoder& decoder, int reduction, uint8_t* out, size_t row_bytes) {
  if (setjmp(decoder.jump)) return false;
  decoder.jpeg.scale_num = 1;
  decoder.jpeg.scale_denom = static_cast<unsigned>(reduction);
  decoder.jpeg.out_color_space = is_print(decoder) ? JCS_CMYK : JCS_RGB;
  decoder.jpeg.dct_method = JDCT_ISLOW;
  jpeg_start_decompress(&decoder.jpeg);
  while (decoder.jpeg.output_scanline < decoder.jpeg.output_height) {
    for (size_t i = 0; i < decoder.rows.size(); ++i)
      decoder.rows[i] =
          out +
          std::min<size_t>(decoder.jpeg.output_scanline + i, decoder.jpeg.output_height - 1) * row_bytes;
    jpeg_read_scanlines(&decoder.jpeg, decoder.rows.data(), JDIMENSION(decoder.rows.size()));
  }
  decoder.has_all_rows = true;
  jpeg_finish_decompress(&decoder.jpeg);
  return true;
}

ImageFault fault_of(const JpegFrame& frame, int code) {
  constexpr std::array<int, 5> kProcesses = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA};
  constexpr std::array<int, 8> kUnsupported = {
      JERR_SOF_UNSUPPORTED,    JERR_BAD_PRECISION,   JERR_COMPONENT_COUNT,      JERR_NOT_COMPILED,
      JERR_CONVERSION_NOTIMPL, JERR_CCIR601_NOTIMPL, JERR_FRACT_SAMPLE_NOTIMPL, JERR_NOTIMPL};
  if (code == JERR_IMAGE_TOO_BIG || code == JERR_WIDTH_OVERFLOW) return ImageFault::kTooLarge;
  const bool odd_frame =
      frame.process >= 0 &&
      (std::count(kProcesses.begin(), kProcesses.end(), frame.process) == 0 || frame.precision != 8);
  const bool odd_code = std::count(kUnsupported.begin(), kUnsupported.end(), code) > 0;
  return odd_frame || odd_code ? ImageFault::kUnsupported : ImageFault::kDamaged;
}

ImageError too_many_scans(const std::string& name, int scans, const Decoder& decoder,
                          const DecodeLimits& limits) {
  return {
      ImageFault::kTooLarge,
      fmt::format(
          "{}: {} scans of {} x {} pixels are over the limit ({} scans, {} pixels in all scans). Save the "
          "image again.",
          name, scans, decoder.jpeg.image_width, decoder.jpeg.image_height, limits.scans,
          limits.scanned_pixels)};
}

[[noreturn]] void refuse(const Decoder& decoder, std::string_view bytes, const std::string& name,
                         const DecodeLimits& limits) {
  const JpegFrame frame = frame_of_jpeg(bytes);
  if (decoder.code == JERR_OUT_OF_MEMORY) throw std::bad_alloc();
  if (decoder.code == 0) throw too_many_scans(name, decoder.jpeg.input_scan_number, decoder, limits);
  const ImageFault fault = fault_of(frame, decoder.code);
  throw ImageError(
      fault, fmt::format("{}: {} JPEG: {}.", name,
                         fault == ImageFault::kUnsupported ? "unsupported" : "damaged", decoder.message));
}

// Counted before anything is decoded; check_progress() looks again while it is.
void check_scans(std::string_view bytes, const Decoder& decoder, const std::string& name,
                 const DecodeLimits& limits) {
  const int scans = frame_of_jpeg(bytes).scans;
  const int64_t pixels = int64_t(decoder.jpeg.image_width) * decoder.jpeg.image_height;
  if (scans > limits.scans || scans * pixels > limits.scanned_pixels)
    throw too_many_scans(name, scans, decoder, limits);
}

struct Size {
  int width = 0, height = 0;
};

// Print colours (CMYK) are inverted, as Adobe's programs store them; Pillow takes all to be so.
Image from_inverted_cmyk(const std::vector<uint8_t>& cmyk, const Size& size) {
  Image image(size.height, size.width);
  for (size_t i = 0; i < cmyk.size() / 4; ++i)
    for (size_t c = 0; c < 3; ++c) image.rgb[3 * i + c] = from_ink(cmyk[4 * i + c], cmyk[4 * i + 3]);
  return image;
}

Image decode_stored(Decoder& decoder, std::string_view bytes, int reduction, const Size& size,
                    const std::string& name, const DecodeLimits& limits) {
  if (is_print(decoder)) {
    std::vector<uint8_t> cmyk(size_t(size.width) * size_t(size.height) * 4);
    if (!read_rows(decoder, reduction, cmyk.data(), size_t(size.width) * 4))
      refuse(decoder, bytes, name, limits);
    return from_inverted_cmyk(cmyk, size);
  }
  Image image(size.height, size.width);
  if (!read_rows(decoder, reduction, image.rgb.data(), size_t(size.width) * 3))
    refuse(decoder, bytes, name, limits);
  return image;
}

}  // namespace

namespace {

// Reads the header and compares it with the limits.
void open(Decoder& decoder, std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  if (!read_header(decoder, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), limits))
    refuse(decoder, bytes, name, limits);
  check_size(decoder.jpeg.image_width, decoder.jpeg.image_height, name, limits);
  check_scans(bytes, decoder, name, limits);
}

ImageSize upright(int width, int height, int orientation) {
  const bool is_turned = orientation > 4;  // rows become columns
  return {.height = is_turned ? width : height, .width = is_turned ? height : width};
}

}  // namespace

ImageSize size_of_jpeg(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  Decoder decoder;
  open(decoder, bytes, name, limits);
  return upright(int(decoder.jpeg.image_width), int(decoder.jpeg.image_height), orientation_of_jpeg(bytes));
}

ReducedImage decode_jpeg(std::string_view bytes, const std::string& name, int least_side,
                         const DecodeLimits& limits) {
  Decoder decoder;
  open(decoder, bytes, name, limits);
  const int width = int(decoder.jpeg.image_width), height = int(decoder.jpeg.image_height);
  const int reduction = least_side > 0 && std::min(width, height) / 2 >= least_side ? 2 : 1;
  // Half of an odd size rounds up, as in the library.
  const Size size{(width + reduction - 1) / reduction, (height + reduction - 1) / reduction};
  Image stored = decode_stored(decoder, bytes, reduction, size, name, limits);
  const int orientation = orientation_of_jpeg(bytes);
  const ImageSize full = upright(width, height, orientation);
  return {.image = oriented(std::move(stored), orientation),
          .full_height = full.height,
          .full_width = full.width,
          .reduction = reduction};
}

}  // namespace pixart::formats
