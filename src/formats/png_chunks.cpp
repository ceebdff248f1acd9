#include "png_chunks.h"

#include <zlib.h>

#include <algorithm>

#include "image_codecs.h"
#include "pixart/base/bytes.h"

namespace pixart::formats {

namespace {

constexpr size_t kAround = 12;  // bytes around a chunk's data: length, type, checksum

// ImageMagick's form of binary data in a text: "\nexif\n     1234\n", then lines of hexadecimal digits.
std::string from_raw_profile(std::string_view text) {
  for (int line = 0; line < 3; ++line) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return {};
    text.remove_prefix(end + 1);
  }
  std::string bytes;
  int digits = 0;
  for (const char c : text) {
    const int value = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                             : -1;
    if (value < 0) continue;
    if (digits++ % 2 == 0)
      bytes += char(value << 4);
    else
      bytes.back() = char(bytes.back() | value);
  }
  return bytes;
}

}  // namespace

bool PngChunk::is_whole() const {
  return ::crc32(0, reinterpret_cast<const Bytef*>(checked.data()), uInt(checked.size())) == checksum;
}

bool take_png_chunk(std::string_view& bytes, PngChunk& chunk) {
  if (bytes.size() < kAround) return false;
  const size_t length = from_big_endian(bytes, 0, 4);
  if (length > bytes.size() - kAround) return false;
  const std::string_view checked = bytes.substr(4, 4 + length);
  chunk.type = checked.substr(0, 4);
  chunk.data = checked.substr(4);
  chunk.checked = checked;
  chunk.checksum = uint32_t(from_big_endian(bytes, 8 + length, 4));
  bytes.remove_prefix(kAround + length);
  return true;
}

std::string png_chunk(std::string_view type, std::string_view data) {
  const auto number = [](uint64_t value) {
    const std::string bytes = little_endian(value, 4);
    return std::string(bytes.rbegin(), bytes.rend());
  };
  const std::string checked = std::string(type) + std::string(data);
  return number(data.size()) + checked +
         number(::crc32(0, reinterpret_cast<const Bytef*>(checked.data()), uInt(checked.size())));
}

std::string with_whole_pixel_chunks(std::string_view png) {
  constexpr size_t kHead = 8;  // length and type; also the signature of the file
  std::string_view rest = png.substr(std::min(png.size(), kHead));
  PngChunk chunk;
  while (take_png_chunk(rest, chunk)) {
  }
  if (rest.size() < kHead || rest.substr(4, 4) != "IDAT" ||
      from_big_endian(rest, 0, 4) <= rest.size() - kHead)
    return "";
  return std::string(png.substr(0, png.size() - rest.size())) + png_chunk("IDAT", rest.substr(kHead));
}

std::string_view take_word(std::string_view& bytes) {
  const size_t end = bytes.find('\0');
  const std::string_view word = bytes.substr(0, end);
  bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  return word;
}

bool parse_png_text(const PngChunk& chunk, PngText& text) {
  std::string_view data = chunk.data;
  text = {.key = take_word(data), .text = {}, .is_utf8 = chunk.type == "iTXt", .is_compressed = false};
  if (chunk.type == "zTXt") {
    if (data.empty() || data[0] != 0) return false;  // the only method
    data.remove_prefix(1);
    text.is_compressed = true;
  } else if (chunk.type == "iTXt") {
    if (data.size() < 2 || data[1] != 0) return false;
    text.is_compressed = data[0] != 0;
    data.remove_prefix(2);
    take_word(data);  // language
    take_word(data);  // the key in that language
  } else if (chunk.type != "tEXt") {
    return false;
  }
  text.text = data;
  return true;
}

std::string content_of(const PngText& text) {
  if (!text.is_compressed)
    return std::string(text.text.size() > kMostInflated ? std::string_view() : text.text);
  std::string content(kMostInflated + 1, '\0');
  uLongf count = content.size();
  const int code = ::uncompress(reinterpret_cast<Bytef*>(content.data()), &count,
                                reinterpret_cast<const Bytef*>(text.text.data()), uLong(text.text.size()));
  content.resize(code == Z_OK && count <= kMostInflated ? size_t(count) : 0);
  return content;
}

// The chunk eXIf, or else ImageMagick's text; chunks may follow the pixels, and the last of a kind counts.
// What is damaged counts as absent.
int orientation_of_png(std::string_view png) {
  if (!png.starts_with(kPngSignature)) return 1;
  png.remove_prefix(kPngSignature.size());
  std::string_view exif;
  PngText text, profile, xmp;
  PngChunk chunk;
  while (take_png_chunk(png, chunk) && chunk.type != "IEND") {
    if (chunk.type == "eXIf" && chunk.is_whole()) exif = chunk.data;
    if (!parse_png_text(chunk, text)) continue;
    if (text.key == "Raw profile type exif" && chunk.is_whole()) profile = text;
    if (text.key == "XML:com.adobe.xmp" && chunk.is_whole()) xmp = text;
  }
  const std::string raw = exif.empty() ? from_raw_profile(content_of(profile)) : std::string(exif);
  return orientation_of(raw, content_of(xmp));
}

}  // namespace pixart::formats
