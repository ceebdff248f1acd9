// The chunks of a PNG file, read without decoding any.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace pixart::formats {

inline constexpr std::string_view kPngSignature("\x89PNG\r\n\x1a\n", 8);

struct PngChunk {
  std::string_view type, data;
  std::string_view checked;  // type and data
  uint32_t checksum = 0;
  bool is_whole() const;  // its checksum is right
};

// Removes the next chunk from `bytes`, which begin at one; false if they do not hold a whole one.
bool take_png_chunk(std::string_view& bytes, PngChunk& chunk);

// A chunk as it is stored, with its length and checksum.
std::string png_chunk(std::string_view type, std::string_view data);

// If the file ends inside the data of IDAT: the file with what is left of them as a whole chunk, as libpng asks for
// all bytes of a chunk at once. Otherwise "".
std::string with_whole_pixel_chunks(std::string_view png);

// A text of tEXt, zTXt or iTXt; `key` and `text` are as stored, in Latin-1 or (iTXt) UTF-8.
struct PngText {
  std::string_view key, text;
  bool is_utf8 = false, is_compressed = false;
};
bool parse_png_text(const PngChunk& chunk, PngText& text);  // false: another chunk, or one that is cut off

// Removes and returns the text before the next zero byte; the zero byte is removed, too.
std::string_view take_word(std::string_view& bytes);

// The text, inflated if it is compressed. Empty if it is damaged, or larger than kMostInflated: a chunk of
// some kilobytes may become gigabytes.
inline constexpr size_t kMostInflated = size_t{1} << 20;
std::string content_of(const PngText& text);

}  // namespace pixart::formats
