#include <zlib.h>

#include "pixart/base/bytes.h"
#include "pixart/base/file.h"
#include "pixart/base/utf8.h"
#include "pixart/formats/image_file.h"

namespace pixart::formats {

namespace {

constexpr std::string_view kSignature("\x89PNG\r\n\x1a\n", 8);
constexpr uint64_t kMostBytes = uint64_t{256} << 20;
constexpr size_t kAround = 12;  // bytes around a chunk's data: length, type, checksum

// Removes and returns the text before the next zero byte; the zero byte is removed, too.
std::string_view take_word(std::string_view& bytes) {
  const size_t end = bytes.find('\0');
  const std::string_view word = bytes.substr(0, end);
  bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
  return word;
}

std::string from_latin1(std::string_view text) {
  std::string result;
  for (const char c : text) append_utf8(result, uint8_t(c));
  return result;
}

}  // namespace

std::map<std::string, std::string> read_png_text(const std::filesystem::path& path) {
  const std::string file = read_file(path, kMostBytes);
  std::string_view bytes = file;
  if (!bytes.starts_with(kSignature)) throw UserError(path.string() + " is not a PNG file.");
  bytes.remove_prefix(kSignature.size());
  std::map<std::string, std::string> result;
  while (bytes.size() >= kAround) {
    const uint64_t length = from_big_endian(bytes, 0, 4);
    if (length > bytes.size() - kAround) break;
    const std::string_view type = bytes.substr(4, 4), checked = bytes.substr(4, 4 + size_t(length));
    if (::crc32(0, reinterpret_cast<const Bytef*>(checked.data()), uInt(checked.size())) !=
        from_big_endian(bytes, 8 + size_t(length), 4))
      throw UserError(fmt::format("{}: chunk {} is damaged.", path.string(), type));
    std::string_view data = bytes.substr(8, length);
    bytes.remove_prefix(kAround + length);
    if (type == "IEND") return result;
    if (type == "tEXt") {
      const std::string key = from_latin1(take_word(data));
      result[key] = from_latin1(data);
    } else if (type == "iTXt") {
      const std::string key = from_latin1(take_word(data));
      if (data.size() < 2 || data[0] != 0) continue;
      data.remove_prefix(2);
      take_word(data);  // language
      take_word(data);  // the key in that language
      result[key] = std::string(data);
    }
  }
  throw UserError(path.string() + " is cut off.");
}

}  // namespace pixart::formats
