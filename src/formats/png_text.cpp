#include "pixart/base/file.h"
#include "pixart/base/utf8.h"
#include "pixart/formats/image_file.h"
#include "png_chunks.h"

namespace pixart::formats {

namespace {

constexpr uint64_t kMostBytes = uint64_t{256} << 20;

std::string from_latin1(std::string_view text) {
  std::string result;
  for (const char c : text) append_utf8(result, uint8_t(c));
  return result;
}

}  // namespace

std::map<std::string, std::string> read_png_text(const std::filesystem::path& path) {
  const std::string file = read_file(path, kMostBytes);
  std::string_view bytes = file;
  if (!bytes.starts_with(kPngSignature)) throw UserError(path.string() + " is not a PNG file.");
  bytes.remove_prefix(kPngSignature.size());
  std::map<std::string, std::string> result;
  PngChunk chunk;
  PngText text;
  while (take_png_chunk(bytes, chunk)) {
    if (!chunk.is_whole())
      throw UserError(fmt::format("{}: chunk {} is damaged.", path.string(), chunk.type));
    if (chunk.type == "IEND") return result;
    if (!parse_png_text(chunk, text) || text.is_compressed) continue;
    result[from_latin1(text.key)] = text.is_utf8 ? std::string(text.text) : from_latin1(text.text);
  }
  throw UserError(path.string() + " is cut off.");
}

}  // namespace pixart::formats
