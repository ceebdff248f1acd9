#include <gif_lib.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "image_codecs.h"
#include "mended_image.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

constexpr std::string_view kKind = "GIF";

int read_some(GifFileType* gif, GifByteType* out, int count) {
  auto& left = *static_cast<std::string_view*>(gif->UserData);
  const size_t given = std::min(left.size(), size_t(count));
  std::memcpy(out, left.data(), given);
  left.remove_prefix(given);
  return int(given);
}

class GifReader {
 public:
  GifReader(std::string_view bytes, const std::string& name) : left_(bytes), name_(name) {
    int error = 0;
    gif_ = DGifOpen(&left_, read_some, &error);
    if (gif_ == nullptr) fail(error);
  }
  ~GifReader() { DGifCloseFile(gif_, nullptr); }
  GifReader(const GifReader&) = delete;
  GifReader& operator=(const GifReader&) = delete;

  // Reads everything before the pixels of the first image.
  void go_to_image() {
    for (GifRecordType type = UNDEFINED_RECORD_TYPE; type != IMAGE_DESC_RECORD_TYPE;) {
      check(DGifGetRecordType(gif_, &type));
      if (type == EXTENSION_RECORD_TYPE) read_extension();
      if (type == TERMINATE_RECORD_TYPE) throw damaged_image(name_, kKind, "it has no image");
    }
    check(DGifGetImageDesc(gif_));
    end_blocks();
  }

  const GifImageDesc& frame() const { return gif_->Image; }
  // The first image may be larger than the screen that the file declares, or smaller.
  int width() const { return std::max(gif_->SWidth, frame().Left + frame().Width); }
  int height() const { return std::max(gif_->SHeight, frame().Top + frame().Height); }
  std::optional<uint8_t> transparent() const { return transparent_; }

  Palette palette() const {
    Palette palette;
    const ColorMapObject* map = frame().ColorMap != nullptr ? frame().ColorMap : gif_->SColorMap;
    for (int i = 0; map == nullptr && i < 256; ++i) palette.colors[size_t(i)].fill(uint8_t(i));
    for (int i = 0; map != nullptr && i < std::min(map->ColorCount, 256); ++i)
      palette.colors[size_t(i)] = {map->Colors[i].Red, map->Colors[i].Green, map->Colors[i].Blue};
    return palette;
  }

  void read_row(std::vector<uint8_t>& indices) {
    check(DGifGetLine(gif_, indices.data(), int(indices.size())));
  }

 private:
  [[noreturn]] void fail(int error) const {
    if (error == D_GIF_ERR_NOT_ENOUGH_MEM) throw std::bad_alloc();
    const char* reason = GifErrorString(error);
    throw damaged_image(name_, kKind, reason == nullptr ? "it cannot be read" : reason);
  }
  void check(int result) const {
    if (result == GIF_ERROR) fail(gif_->Error);
  }

  // The pixels are blocks with their length in front, until a block of length 0. If only that one is missing,
  // because the file ends with a whole block, it is added: Pillow takes such files, too.
  void end_blocks() {
    size_t at = 0;
    while (at < left_.size() && left_[at] != '\0') at += 1 + size_t(uint8_t(left_[at]));
    if (at != left_.size()) return;
    ended_ = std::string(left_) + '\0';
    left_ = ended_;
  }

  void read_extension() {
    int code = 0;
    GifByteType* block = nullptr;
    check(DGifGetExtension(gif_, &code, &block));
    if (code == GRAPHICS_EXT_FUNC_CODE && block != nullptr && block[0] >= 4 && (block[1] & 1) != 0)
      transparent_ = block[4];
    while (block != nullptr) check(DGifGetExtensionNext(gif_, &block));
  }

  std::string_view left_;
  std::string ended_;
  const std::string& name_;
  GifFileType* gif_ = nullptr;
  std::optional<uint8_t> transparent_;
};

// The rows of an interlaced image come in four passes.
std::vector<int> row_order(int height, bool interlaced) {
  std::vector<int> rows;
  constexpr int kFirst[] = {0, 4, 2, 1}, kStep[] = {8, 8, 4, 2};
  for (int pass = 0; pass < (interlaced ? 4 : 1); ++pass)
    for (int y = interlaced ? kFirst[pass] : 0; y < height; y += interlaced ? kStep[pass] : 1)
      rows.push_back(y);
  return rows;
}

}  // namespace

Image decode_gif(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const std::string mended = limits.damaged == DamagedImages::kRead ? mended_gif(bytes) : "";
  GifReader reader(mended.empty() ? bytes : mended, name);
  reader.go_to_image();
  check_size(reader.width(), reader.height(), name, limits);
  const GifImageDesc& frame = reader.frame();
  if (frame.Width < 1 || frame.Height < 1) throw damaged_image(name, kKind, "its image has no pixels");
  Palette palette = reader.palette();
  const auto transparent = reader.transparent();
  if (transparent) palette.colors[*transparent] = {255, 255, 255};
  Image image(reader.height(), reader.width());
  const auto paint = [&](uint8_t* pixel, uint8_t index) {
    std::copy_n(palette.colors[index].begin(), 3, pixel);
  };
  // What the image does not cover.
  for (size_t i = 0; i < image.rgb.size(); i += 3) paint(&image.rgb[i], transparent.value_or(0));
  std::vector<uint8_t> indices(size_t(frame.Width));
  for (const int row : row_order(frame.Height, frame.Interlace)) {
    reader.read_row(indices);
    for (int x = 0; x < frame.Width; ++x)
      paint(image.at(frame.Top + row, frame.Left + x), indices[size_t(x)]);
  }
  return image;
}

}  // namespace pixart::formats
