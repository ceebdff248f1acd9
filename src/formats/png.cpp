#include <png.h>

#include <csetjmp>
#include <cstring>

#include "image_codecs.h"
#include "pixart/base/error.h"
#include "pixart/base/file.h"

namespace pixart::formats {

namespace {

// libpng reports errors by longjmp; the message is kept for the exception thrown afterwards. Only trivially destructible
// objects live between setjmp and the end of the calls.
struct ErrorState {
  char message[200] = {};
};

void on_error(png_structp png, png_const_charp message) {
  auto* state = static_cast<ErrorState*>(png_get_error_ptr(png));
  std::strncpy(state->message, message, sizeof state->message - 1);
  png_longjmp(png, 1);
}

void on_warning(png_structp, png_const_charp) {}

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

// Header and transformations to 8-bit RGBA. False after a longjmp.
bool read_header(png_structp png, png_infop info) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_read_info(png, info);
  return true;
}

bool read_rows(png_structp png, png_infop info, png_bytep* rows) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_strip_16(png);
  png_set_expand(png);
  png_set_gray_to_rgb(png);
  png_set_add_alpha(png, 0xFF, PNG_FILLER_AFTER);
  png_set_interlace_handling(png);
  png_read_update_info(png, info);
  png_read_image(png, rows);
  png_read_end(png, nullptr);
  return true;
}

bool write_rows(png_structp png, png_infop info, png_bytep* rows) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_write_info(png, info);
  png_write_image(png, rows);
  png_write_end(png, nullptr);
  return true;
}

bool write_header(png_structp png, png_infop info, const Image& image, png_text* texts, int count) {
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_IHDR(png, info, png_uint_32(image.width), png_uint_32(image.height), 8, PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_set_text(png, info, texts, count);
  return true;
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

}  // namespace

Image composite_on_white(const uint8_t* rgba, int width, int height) {
  Image image(height, width);
  for (size_t i = 0; i < size_t(width) * size_t(height); ++i) {
    const unsigned alpha = rgba[4 * i + 3];
    for (size_t c = 0; c < 3; ++c) image.rgb[3 * i + c] = uint8_t((rgba[4 * i + c] * alpha + 255 * (255 - alpha) + 127) / 255);
  }
  return image;
}

Image decode_png(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  Reader reader;
  Source source{bytes.data(), bytes.size()};
  png_set_read_fn(reader.png, &source, read_bytes);
  if (!read_header(reader.png, reader.info)) throw UserError(fmt::format("{}: damaged PNG: {}.", name, reader.state.message));
  const auto width = png_get_image_width(reader.png, reader.info), height = png_get_image_height(reader.png, reader.info);
  check_size(width, height, name, limits);
  std::vector<uint8_t> rgba(size_t(width) * height * 4);
  std::vector<png_bytep> rows(height);
  for (size_t y = 0; y < height; ++y) rows[y] = rgba.data() + y * width * 4;
  if (!read_rows(reader.png, reader.info, rows.data())) throw UserError(fmt::format("{}: damaged PNG: {}.", name, reader.state.message));
  return composite_on_white(rgba.data(), int(width), int(height));
}

void save_png(const std::filesystem::path& path, const Image& image, const std::map<std::string, std::string>& text) {
  std::vector<png_text> texts;
  for (const auto& [key, value] : text) {
    png_text entry{};
    entry.compression = PNG_ITXT_COMPRESSION_NONE;
    entry.key = const_cast<char*>(key.c_str());
    entry.text = const_cast<char*>(value.c_str());
    entry.lang = const_cast<char*>("");
    entry.lang_key = const_cast<char*>("");
    texts.push_back(entry);
  }
  std::vector<png_bytep> rows;
  for (int y = 0; y < image.height; ++y) rows.push_back(const_cast<png_bytep>(image.at(y, 0)));
  Writer writer;
  std::string bytes;
  png_set_write_fn(writer.png, &bytes, append_bytes, nullptr);
  const bool done = write_header(writer.png, writer.info, image, texts.data(), int(texts.size())) && write_rows(writer.png, writer.info, rows.data());
  PIXART_CHECK(done, "PNG {}: {}", path.string(), writer.state.message);
  write_file_atomically(path, bytes);
}

}  // namespace pixart::formats
