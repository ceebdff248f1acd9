#include "mended_image.h"

#include <tiff.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "image_codecs.h"
#include "png_chunks.h"

namespace pixart::formats {

// --- PNG

std::string mended_png(std::string_view png) {
  constexpr size_t kHead = 8, kHeaderBytes = 13, kCompression = 10, kInterlace = 12;
  if (!png.starts_with(kPngSignature)) return "";
  std::string_view rest = png.substr(kPngSignature.size()), header, palette, transparent;
  PngChunk chunk;
  const auto is_at_pixels = [&rest] { return rest.size() >= kHead && rest.substr(4, 4) == "IDAT"; };
  while (!is_at_pixels()) {
    if (!take_png_chunk(rest, chunk) || !chunk.is_whole()) return "";
    if (chunk.type == "IHDR") header = chunk.data;
    if (chunk.type == "PLTE") palette = chunk.data;
    if (chunk.type == "tRNS") transparent = chunk.data;
  }
  if (header.size() < kHeaderBytes) return "";
  std::string head(header.substr(0, kHeaderBytes));
  head[kCompression] = 0;
  head[kInterlace] = head[kInterlace] == 0 ? '\0' : '\1';
  std::string result = std::string(kPngSignature) + png_chunk("IHDR", head);
  if (!palette.empty()) result += png_chunk("PLTE", palette);
  if (!transparent.empty()) result += png_chunk("tRNS", transparent);
  while (take_png_chunk(rest, chunk) && chunk.type == "IDAT") result += png_chunk("IDAT", chunk.data);
  if (is_at_pixels()) result += png_chunk("IDAT", rest.substr(kHead));  // cut off
  return result;
}

// --- GIF

namespace {

std::string_view take(std::string_view& left, size_t count) {
  const std::string_view taken = left.substr(0, count);
  left.remove_prefix(taken.size());
  return taken;
}

// The bytes of a block after its length; none at the end of blocks, and at the end of the file.
std::string_view take_block(std::string_view& left) {
  const std::string_view length = take(left, 1);
  return length.empty() ? length : take(left, uint8_t(length[0]));
}

void pass_extension(std::string_view& left, std::string_view& transparent) {
  const std::string_view label = take(left, 1), block = take_block(left);
  if (label == "\xF9" && block.size() >= 4 && (block[0] & 1) != 0) transparent = block.substr(3, 1);
  if (label == "\xFE" && block.empty()) return;  // a comment
  if (label == "\xFF" && block.starts_with("NETSCAPE2.0")) take_block(left);
  while (!take_block(left).empty()) {
  }
}

// Passes over everything before the first image, and its mark; false if there is none.
bool go_to_image(std::string_view& left, std::string_view& transparent) {
  for (std::string_view mark = take(left, 1); !mark.empty() && mark != ";"; mark = take(left, 1)) {
    if (mark == ",") return true;
    if (mark == "!") pass_extension(left, transparent);
  }
  return false;
}

}  // namespace

std::string mended_gif(std::string_view gif) {
  constexpr size_t kScreen = 13, kScreenFlags = 10, kFrame = 9, kFrameFlags = 8;
  std::string_view left = gif, transparent;
  const auto take_palette = [&left](char flags) {
    return take(left, (flags & 0x80) != 0 ? size_t{6} << (flags & 7) : 0);
  };
  const std::string_view screen = take(left, kScreen);
  if (screen.size() < kScreen) return "";
  std::string result(screen);
  result += take_palette(screen[kScreenFlags]);
  if (!go_to_image(left, transparent)) return "";
  if (!transparent.empty())
    result += std::string("!\xF9\4\1\0\0", 6) + std::string(transparent) + std::string(1, '\0');
  const std::string_view frame = take(left, kFrame);
  if (frame.size() < kFrame) return "";
  result += "," + std::string(frame);
  result += take_palette(frame[kFrameFlags]);
  result += take(left, 1);  // bits of the codes
  while (!left.empty() && uint8_t(left[0]) < left.size()) {
    const std::string_view block = take(left, size_t{1} + uint8_t(left[0]));
    if (block.size() > 1) result += block;
  }
  return result + '\0';
}

// --- TIFF

namespace {

// A directory: the values of its tags.
using Tags = std::map<uint16_t, std::vector<uint32_t>>;

constexpr size_t kEntryBytes = 12;
constexpr uint32_t kByte = 1, kShort = 3, kLong = 4, kUndefined = 7, kDirectory = 13;

// The type that libtiff wants for the values of a tag; 0 for tags that an image that is not compressed does not need.
uint32_t type_for(uint32_t tag) {
  switch (tag) {
    case TIFFTAG_IMAGEWIDTH:
    case TIFFTAG_IMAGELENGTH:
    case TIFFTAG_STRIPOFFSETS:
    case TIFFTAG_ROWSPERSTRIP:
    case TIFFTAG_STRIPBYTECOUNTS:
    case TIFFTAG_TILEWIDTH:
    case TIFFTAG_TILELENGTH:
    case TIFFTAG_TILEOFFSETS:
    case TIFFTAG_TILEBYTECOUNTS:
      return kLong;
    case TIFFTAG_BITSPERSAMPLE:
    case TIFFTAG_COMPRESSION:
    case TIFFTAG_PHOTOMETRIC:
    case TIFFTAG_FILLORDER:
    case TIFFTAG_ORIENTATION:
    case TIFFTAG_PLANARCONFIG:
    case TIFFTAG_SAMPLESPERPIXEL:
    case TIFFTAG_COLORMAP:
    case TIFFTAG_INKSET:
    case TIFFTAG_EXTRASAMPLES:
    case TIFFTAG_SAMPLEFORMAT:
      return kShort;
    case TIFFTAG_XMLPACKET:
      return kUndefined;
    default:
      return 0;
  }
}

size_t size_of(uint32_t type) {
  if (type == kByte || type == kUndefined) return 1;
  if (type == kShort) return 2;
  return type == kLong || type == kDirectory ? 4 : 0;
}

class TiffFile {
 public:
  explicit TiffFile(std::string_view bytes) : bytes_(bytes), is_big_endian_(bytes.starts_with("MM")) {}

  // The tags whose values are whole numbers that the file holds. Values that are longer than the whole file cost all
  // values outside of entries that follow.
  Tags tags() const {
    Tags tags;
    uint64_t outside = 0;
    const size_t directory = number(4, 4), count = number(directory, 2);
    for (size_t i = 0; i < count; ++i) {
      const size_t entry = directory + 2 + kEntryBytes * i;
      if (entry + kEntryBytes > bytes_.size()) break;
      const uint32_t tag = number(entry, 2);
      if (type_for(tag) == 0) continue;
      const uint64_t bytes = bytes_of_values(entry);
      if (bytes > 4) outside += bytes;
      if (bytes > 4 && outside > bytes_.size()) continue;
      if (auto values = values_of(entry); !values.empty()) tags.emplace(uint16_t(tag), std::move(values));
    }
    return tags;
  }

  // The file, `more` and a directory.
  std::string with_directory(const Tags& tags, const std::string& more) const {
    std::string file = std::string(bytes_) + more;
    file.resize((file.size() + 1) / 2 * 2);
    const std::string place = stored(uint32_t(file.size()), 4);
    std::copy(place.begin(), place.end(), file.begin() + 4);
    const size_t values_at = file.size() + 2 + tags.size() * kEntryBytes + 4;
    std::string directory = stored(uint32_t(tags.size()), 2), values;
    for (const auto& [tag, numbers] : tags) {
      std::string own;
      for (const uint32_t number : numbers) own += stored(number, size_of(type_for(tag)));
      const bool is_inside = own.size() <= 4;
      own.resize(is_inside ? 4 : (own.size() + 1) / 2 * 2);
      directory += stored(tag, 2) + stored(type_for(tag), 2) + stored(uint32_t(numbers.size()), 4) +
                   (is_inside ? own : stored(uint32_t(values_at + values.size()), 4));
      if (!is_inside) values += own;
    }
    return file + directory + stored(0, 4) + values;
  }

 private:
  // Reading beyond the end gives 0.
  uint32_t number(size_t at, size_t count) const {
    uint32_t value = 0;
    for (size_t i = 0; i < count; ++i) {
      const size_t index = at + (is_big_endian_ ? i : count - 1 - i);
      value = value << 8 | (index < bytes_.size() ? uint8_t(bytes_[index]) : 0u);
    }
    return value;
  }

  std::string stored(uint32_t value, size_t count) const {
    std::string result(count, '\0');
    for (size_t i = 0; i < count; ++i)
      result[is_big_endian_ ? count - 1 - i : i] = char(value >> (8 * i) & 0xFF);
    return result;
  }

  uint64_t bytes_of_values(size_t entry) const {
    return uint64_t{number(entry + 4, 4)} * size_of(number(entry + 2, 2));
  }

  std::vector<uint32_t> values_of(size_t entry) const {
    const size_t size = size_of(number(entry + 2, 2));
    const uint64_t bytes = bytes_of_values(entry);
    const size_t at = bytes <= 4 ? entry + 8 : number(entry + 8, 4);
    if (bytes == 0 || at + bytes > bytes_.size()) return {};
    std::vector<uint32_t> values(bytes / size);
    for (size_t i = 0; i < values.size(); ++i) values[i] = number(at + i * size, size);
    return values;
  }

  std::string_view bytes_;
  bool is_big_endian_;
};

uint32_t first_of(const Tags& tags, uint16_t tag, uint32_t otherwise) {
  const auto found = tags.find(tag);
  return found == tags.end() ? otherwise : found->second.front();
}

bool is_usable(const Tags& tags) {
  constexpr uint32_t kMostSamples = 8, kMostBits = 16;
  const uint32_t samples = first_of(tags, TIFFTAG_SAMPLESPERPIXEL, 1),
                 bits = first_of(tags, TIFFTAG_BITSPERSAMPLE, 1);
  const bool fits = std::all_of(tags.begin(), tags.end(), [](const auto& tag) {
    return type_for(tag.first) != kShort ||
           std::all_of(tag.second.begin(), tag.second.end(), [](uint32_t value) { return value <= 0xFFFF; });
  });
  const uint64_t width = first_of(tags, TIFFTAG_IMAGEWIDTH, 0),
                 height = first_of(tags, TIFFTAG_IMAGELENGTH, 0);
  const auto most_pixels = uint64_t(limits_of(DamagedImages::kRead).pixels);
  return fits && width > 0 && height > 0 && height <= most_pixels / width &&
         first_of(tags, TIFFTAG_COMPRESSION, COMPRESSION_NONE) == COMPRESSION_NONE && bits >= 1 &&
         bits <= kMostBits && samples >= 1 && samples <= kMostSamples &&
         (samples == 1 || tags.contains(TIFFTAG_BITSPERSAMPLE));
}

// The strips or tiles of an image: columns and rows of each, and how many there are of them.
struct Pieces {
  bool are_tiles = false;
  uint64_t height = 0, rows = 0, row_bytes = 0, in_plane = 0, count = 0;

  explicit Pieces(const Tags& tags) {
    are_tiles = !tags.contains(TIFFTAG_STRIPOFFSETS);
    height = first_of(tags, TIFFTAG_IMAGELENGTH, 0);
    const uint64_t width = first_of(tags, TIFFTAG_IMAGEWIDTH, 0),
                   samples = first_of(tags, TIFFTAG_SAMPLESPERPIXEL, 1);
    const uint64_t columns = are_tiles ? first_of(tags, TIFFTAG_TILEWIDTH, 0) : width;
    rows = are_tiles ? first_of(tags, TIFFTAG_TILELENGTH, 0)
                     : std::min<uint64_t>(height, first_of(tags, TIFFTAG_ROWSPERSTRIP, uint32_t(height)));
    if (columns == 0 || rows == 0) return;
    const bool are_planes =
        first_of(tags, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG) == PLANARCONFIG_SEPARATE;
    row_bytes = (columns * (are_planes ? 1 : samples) * first_of(tags, TIFFTAG_BITSPERSAMPLE, 1) + 7) / 8;
    in_plane = (width + columns - 1) / columns * ((height + rows - 1) / rows);
    count = in_plane * (are_planes ? samples : 1);
  }
  uint64_t bytes_of(size_t i) const {
    return row_bytes * (are_tiles ? rows : std::min(rows, height - i % in_plane * rows));
  }
};

// Sets places and sizes of all pieces; false if one of them is not whole in the file. Of several places for one piece the
// last counts; pieces without a place are black: zeros (or ones) in `more`, after the file.
bool mend_pieces(Tags& tags, uint64_t file_bytes, std::string& more) {
  constexpr uint64_t kMostPieces = 1 << 20, kMostBytes = 1 << 28;
  const Pieces pieces(tags);
  const auto found = tags.find(pieces.are_tiles ? TIFFTAG_TILEOFFSETS : TIFFTAG_STRIPOFFSETS);
  if (found == tags.end() || pieces.count == 0 || pieces.count > kMostPieces ||
      pieces.row_bytes > kMostBytes / pieces.rows)
    return false;
  const std::vector<uint32_t> stored = std::exchange(found->second, {});
  if (stored.size() < pieces.count) {
    const bool is_white_zero = first_of(tags, TIFFTAG_PHOTOMETRIC, 0) == PHOTOMETRIC_MINISWHITE;
    more = std::string(pieces.bytes_of(0), is_white_zero ? '\xFF' : '\0');
  }
  found->second.assign(pieces.count, uint32_t(file_bytes));
  for (size_t i = 0; i < stored.size(); ++i) found->second[i % pieces.count] = stored[i];
  std::vector<uint32_t> sizes;
  for (size_t i = 0; i < pieces.count; ++i) {
    const uint64_t bytes = pieces.bytes_of(i);
    if (found->second[i] + bytes > file_bytes + more.size()) return false;
    sizes.push_back(uint32_t(bytes));
  }
  tags[pieces.are_tiles ? TIFFTAG_TILEBYTECOUNTS : TIFFTAG_STRIPBYTECOUNTS] = sizes;
  return true;
}

// One value of the bits is meant for all samples. A colour map has as many colours as the bits allow.
void mend_samples(Tags& tags) {
  const uint32_t bits = first_of(tags, TIFFTAG_BITSPERSAMPLE, 1);
  tags[TIFFTAG_BITSPERSAMPLE] = std::vector<uint32_t>(first_of(tags, TIFFTAG_SAMPLESPERPIXEL, 1), bits);
  const auto map = tags.find(TIFFTAG_COLORMAP);
  if (map == tags.end()) return;
  const std::vector<uint32_t> stored = std::exchange(map->second, {});
  const size_t colors = stored.size() / 3;
  for (size_t plane = 0; plane < 3; ++plane)
    for (size_t i = 0; i < size_t{1} << bits; ++i)
      map->second.push_back(i < colors ? stored[plane * colors + i] : 0);
}

}  // namespace

std::string mended_tiff(std::string_view tiff) {
  if (!tiff.starts_with("II*") && !tiff.starts_with(std::string_view("MM\0*", 4))) return "";
  const TiffFile file(tiff);
  Tags tags = file.tags();
  std::string more;
  if (!is_usable(tags) || !mend_pieces(tags, tiff.size(), more)) return "";
  mend_samples(tags);
  for (auto& [tag, values] : tags)
    if (tag == TIFFTAG_IMAGEWIDTH || tag == TIFFTAG_IMAGELENGTH || tag == TIFFTAG_COMPRESSION)
      values.resize(1);
  return file.with_directory(tags, more);
}

}  // namespace pixart::formats
