#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <csetjmp>
#include <cstring>

#include "image_codecs.h"
#include "mended_image.h"
#include "pixart/base/bytes.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"
#include "png_chunks.h"

namespace pixart::formats {

namespace {

constexpr int kRowsAtOnce = 128;  // written between two calls of `progress`

// libpng reports errors by longjmp, which runs no destructors. So each function that calls setjmp has only
// plain pointers and returns false after a jump; the first message is kept for the exception that the caller
// throws.
struct ErrorState {
  char message[200] = {};
  int64_t rows = 0;  // of the file, decoded
  bool is_about_pixels() const { return std::string_view(message).starts_with("IDAT"); }
};

ErrorState& state_of(png_structp png) { return *static_cast<ErrorState*>(png_get_error_ptr(png)); }

void keep_first(ErrorState& state, png_const_charp message) {
  if (state.message[0] == '\0') std::strncpy(state.message, message, sizeof state.message - 1);
}

void on_error(png_structp png, png_const_charp message) {
  keep_first(state_of(png), message);
  png_longjmp(png, 1);
}

// Warnings about profiles, times and texts are common and harmless. Warnings about the pixel data, such as a
// wrong checksum at its end, mean damage.
void on_warning(png_structp png, png_const_charp message) {
  if (std::string_view(message).starts_with("IDAT")) keep_first(state_of(png), message);
}

void count_row(png_structp png, png_row_infop, png_bytep) { ++state_of(png).rows; }

struct Source {
  const char* at;
  size_t left;
};

void read_bytes(png_structp png, png_bytep out, size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->left) png_error(png, "the file ends early");
  std::memcpy(out, source->at, count);
  source->at += count;
  source->left -= count;
}

void append_bytes(png_structp png, png_bytep bytes, size_t count) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(bytes), count);
}

struct Reader {
  ErrorState state;
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
  png_infop info = png_create_info_struct(png);
  ~Reader() { png_destroy_read_struct(&png, &info, nullptr); }
};

struct Writer {
  ErrorState state;
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &state, on_error, on_warning);
  png_infop info = png_create_info_struct(png);
  ~Writer() { png_destroy_write_struct(&png, &info); }
};

// Only what the pixels need is read: libpng would inflate each text, profile and palette of its own before it
// knows that nobody asks for it, up to 8 MB a chunk and 1,000 chunks.
constexpr png_byte kSkipped[] = "tEXt\0zTXt\0iTXt\0iCCP\0sPLT\0eXIf\0hIST\0pCAL\0sCAL\0tIME";

bool read_header(png_structp png, png_infop info) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, kSkipped, int(sizeof kSkipped / 5));
  png_read_info(png, info);
  return true;
}

// Decodes to RGBA of 8 bits, whatever format is stored.
bool read_rows(png_structp png, png_infop info, png_bytep* rows) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_expand(png);
  png_set_strip_16(png);
  png_set_gray_to_rgb(png);
  png_set_add_alpha(png, 0xFF, PNG_FILLER_AFTER);
  png_set_interlace_handling(png);
  png_set_read_user_transform_fn(png, count_row);
  png_read_update_info(png, info);
  png_read_image(png, rows);
  png_read_end(png, info);
  return state_of(png).message[0] == '\0';
}

int64_t num_stored_rows(png_structp png, png_infop info) {
  const int64_t height = png_get_image_height(png, info), width = png_get_image_width(png, info);
  if (png_get_interlace_type(png, info) == PNG_INTERLACE_NONE) return height;
  int64_t rows = 0;
  for (int pass = 0; pass < PNG_INTERLACE_ADAM7_PASSES; ++pass)
    if (PNG_PASS_COLS(width, pass) > 0) rows += PNG_PASS_ROWS(height, pass);
  return rows;
}

// Every pixel was decoded, and what is missing or wrong comes after the pixels: checksums that are cut off, the
// chunk IEND. Pillow takes such files, too. A checksum that contradicts the pixels is damage.
bool has_all_pixels(const Reader& reader) {
  return !reader.state.is_about_pixels() && reader.state.rows == num_stored_rows(reader.png, reader.info);
}

// For DamagedImages::kRead.
void ignore_warning(png_structp, png_const_charp) {}

void pass_over_damage(Reader& reader) {
  png_set_error_fn(reader.png, &reader.state, on_error, ignore_warning);
  png_set_option(reader.png, PNG_MAXIMUM_INFLATE_WINDOW, PNG_OPTION_ON);
  png_set_user_limits(reader.png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);  // check_size() has the limits
}

bool is_usable(const Reader& reader, bool reads_damaged) {
  return reads_damaged ? reader.state.rows == num_stored_rows(reader.png, reader.info)
                       : has_all_pixels(reader);
}

// Checks for sizes beyond the limits and for chunks of an animation, which libpng skips: libpng gives no
// reason of its own for either.
void check_chunks(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  constexpr size_t kSignature = 8, kAround = 12, kHeaderEnd = 33;  // length, type and CRC are around the data
  const auto as_bytes = [&](size_t at) { return reinterpret_cast<const Bytef*>(bytes.data() + at); };
  if (bytes.size() < kHeaderEnd || bytes.substr(12, 4) != "IHDR" ||
      crc32(0, as_bytes(12), 17) != from_big_endian(bytes, 29, 4))
    return;  // libpng reports the error
  check_size(int64_t(from_big_endian(bytes, 16, 4)), int64_t(from_big_endian(bytes, 20, 4)), name, limits);
  for (size_t at = kSignature; at + kAround <= bytes.size();) {
    const std::string_view type = bytes.substr(at + 4, 4);
    if (type == "IDAT") return;
    const size_t length = from_big_endian(bytes, at, 4);
    if (type == "acTL" && length >= 4 && at + kAround + length <= bytes.size() &&
        from_big_endian(bytes, at + 8, 4) > 1)
      throw ImageError(ImageFault::kUnsupported,
                       fmt::format("{}: an animated PNG; expected one still image.", name));
    at += kAround + length;
  }
}

bool write_image(Writer& writer, const Image& image, png_text* texts, int num_texts, png_bytep* rows,
                 const std::function<void()>& progress) {
  if (setjmp(png_jmpbuf(writer.png))) return false;
  png_set_IHDR(writer.png, writer.info, png_uint_32(image.width), png_uint_32(image.height), 8,
               PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_text(writer.png, writer.info, texts, num_texts);
  png_write_info(writer.png, writer.info);
  for (int y = 0; y < image.height; y += kRowsAtOnce) {
    png_write_rows(writer.png, rows + y, png_uint_32(std::min(kRowsAtOnce, image.height - y)));
    progress();
  }
  png_write_end(writer.png, writer.info);
  return true;
}

std::vector<png_text> text_chunks(const std::map<std::string, std::string>& text) {
  constexpr size_t kLongestKey = 79;  // by the PNG format
  std::vector<png_text> chunks;
  for (const auto& [key, value] : text) {
    PIXART_CHECK(!key.empty() && key.size() <= kLongestKey, "PNG text key '{}'", key);
    png_text chunk{};
    chunk.compression = PNG_ITXT_COMPRESSION_NONE;
    chunk.key = const_cast<char*>(key.c_str());
    chunk.text = const_cast<char*>(value.c_str());
    chunk.lang = const_cast<char*>("");
    chunk.lang_key = const_cast<char*>("");
    chunks.push_back(chunk);
  }
  return chunks;
}

}  // namespace

RgbaImage decode_png_with_alpha(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const bool reads_damaged = limits.damaged == DamagedImages::kRead;
  if (!reads_damaged) check_chunks(bytes, name, limits);
  Reader reader;
  if (reads_damaged) pass_over_damage(reader);
  const std::string whole = reads_damaged ? mended_png(bytes) : with_whole_pixel_chunks(bytes);
  const std::string_view readable = whole.empty() ? bytes : whole;
  Source source{readable.data(), readable.size()};
  png_set_read_fn(reader.png, &source, read_bytes);
  const auto damaged = [&] {
    return ImageError(ImageFault::kDamaged, fmt::format("{}: damaged PNG: {}.", name, reader.state.message));
  };
  if (!read_header(reader.png, reader.info)) throw damaged();
  const auto width = png_get_image_width(reader.png, reader.info),
             height = png_get_image_height(reader.png, reader.info);
  check_size(width, height, name, limits);
  RgbaImage image{.height = int(height), .width = int(width)};
  image.rgba.resize(size_t(width) * height * 4);
  std::vector<png_bytep> rows(height);
  for (size_t y = 0; y < height; ++y) rows[y] = image.rgba.data() + y * width * 4;
  if (!read_rows(reader.png, reader.info, rows.data()) && !is_usable(reader, reads_damaged)) throw damaged();
  return image;
}

Image decode_png(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const auto [height, width, rgba] = decode_png_with_alpha(bytes, name, limits);
  return oriented(composite_on_white(rgba.data(), width, height), orientation_of_png(bytes));
}

ImageSize size_of_png(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  check_chunks(bytes, name, limits);
  Reader reader;
  Source source{bytes.data(), bytes.size()};
  png_set_read_fn(reader.png, &source, read_bytes);
  if (!read_header(reader.png, reader.info))
    throw ImageError(ImageFault::kDamaged, fmt::format("{}: damaged PNG: {}.", name, reader.state.message));
  ImageSize size{.height = int(png_get_image_height(reader.png, reader.info)),
                 .width = int(png_get_image_width(reader.png, reader.info))};
  check_size(size.width, size.height, name, limits);
  if (orientation_of_png(bytes) > 4) std::swap(size.height, size.width);  // rows become columns
  return size;
}

std::string encode_png(const Image& image, const std::map<std::string, std::string>& text,
                       const std::function<void()>& progress) {
  PIXART_CHECK(image.width > 0 && image.height > 0 &&
               image.rgb.size() == size_t(image.width) * size_t(image.height) * 3);
  auto chunks = text_chunks(text);
  std::vector<png_bytep> rows;
  for (int y = 0; y < image.height; ++y) rows.push_back(const_cast<png_bytep>(image.at(y, 0)));
  Writer writer;
  std::string bytes;
  png_set_write_fn(writer.png, &bytes, append_bytes, nullptr);
  const bool is_written =
      write_image(writer, image, chunks.data(), int(chunks.size()), rows.data(), progress);
  PIXART_CHECK(is_written, "PNG: {}", writer.state.message);
  return bytes;
}

void save_png(const std::filesystem::path& path, const Image& image,
              const std::map<std::string, std::string>& text, const std::function<void()>& progress) {
  write_file_atomically(path, encode_png(image, text, progress));
}

}  // namespace pixart::formats
