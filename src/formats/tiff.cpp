#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>

#include "image_codecs.h"
#include "mended_image.h"
#include "pixart/base/error.h"

namespace pixart::formats {

namespace {

constexpr std::string_view kKind = "TIFF";
constexpr int kMostSamples = 8;  // of a pixel

// The file for libtiff, and what libtiff said first.
struct Source {
  std::string_view bytes;
  uint64_t at = 0;
  char message[300] = {};
};

tmsize_t read_some(thandle_t handle, void* out, tmsize_t count) {
  auto& source = *static_cast<Source*>(handle);
  if (source.at >= source.bytes.size() || count <= 0) return 0;
  const size_t given = std::min(size_t(count), source.bytes.size() - size_t(source.at));
  std::memcpy(out, source.bytes.data() + source.at, given);
  source.at += given;
  return tmsize_t(given);
}

tmsize_t write_nothing(thandle_t, void*, tmsize_t) { return 0; }
int close_nothing(thandle_t) { return 0; }
toff_t size_of(thandle_t handle) { return static_cast<Source*>(handle)->bytes.size(); }

toff_t go_to(thandle_t handle, toff_t offset, int whence) {
  auto& source = *static_cast<Source*>(handle);
  const toff_t base = whence == SEEK_CUR ? source.at : whence == SEEK_END ? source.bytes.size() : 0;
  return source.at = base + offset;
}

int take_error(TIFF*, void* user, const char*, const char* format, va_list arguments) {
  auto& source = *static_cast<Source*>(user);
  if (source.message[0] == '\0') std::vsnprintf(source.message, sizeof source.message, format, arguments);
  return 1;
}

int ignore_warning(TIFF*, void*, const char*, const char*, va_list) { return 1; }

using Tiff = std::unique_ptr<TIFF, void (*)(TIFF*)>;

Tiff open_tiff(Source& source, tmsize_t most_memory) {
  TIFFOpenOptions* options = TIFFOpenOptionsAlloc();
  if (options == nullptr) throw std::bad_alloc();
  TIFFOpenOptionsSetMaxSingleMemAlloc(options, most_memory);
  TIFFOpenOptionsSetErrorHandlerExtR(options, take_error, &source);
  TIFFOpenOptionsSetWarningHandlerExtR(options, ignore_warning, nullptr);
  TIFF* tiff = TIFFClientOpenExt("image", "rm", &source, read_some, write_nothing, go_to, close_nothing,
                                 size_of, nullptr, nullptr, options);
  TIFFOpenOptionsFree(options);
  return {tiff, TIFFClose};
}

// How the first image of the file is stored.
struct Layout {
  uint32_t width = 0, height = 0;
  uint16_t bits = 1, samples = 1, photometric = 0, planar = PLANARCONFIG_CONTIG, packing = COMPRESSION_NONE,
           format = SAMPLEFORMAT_UINT, orientation = ORIENTATION_TOPLEFT, ink = INKSET_CMYK;
  int num_colors = 1;  // samples without alpha
  enum class Alpha { kNone, kPlain, kMultiplied } alpha = Alpha::kNone;
  bool is_tiled = false;
  uint32_t chunk_width = 0, chunk_height = 0;  // of a tile, or of a strip
};

int colors_of(uint16_t photometric) {
  if (photometric == PHOTOMETRIC_RGB) return 3;
  return photometric == PHOTOMETRIC_SEPARATED ? 4 : 1;
}

Layout::Alpha alpha_of(TIFF* tiff, const Layout& layout, std::string_view bytes) {
  uint16_t count = 0, *kinds = nullptr;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds);
  if (layout.samples <= layout.num_colors) return Layout::Alpha::kNone;
  // libtiff itself describes samples of which the file says nothing; Pillow takes a fourth one for alpha.
  const bool is_described = tiff_value(bytes, TIFFTAG_EXTRASAMPLES).has_value();
  if (count == 0 || !is_described)
    return layout.photometric == PHOTOMETRIC_RGB ? Layout::Alpha::kPlain : Layout::Alpha::kNone;
  if (kinds[0] == EXTRASAMPLE_ASSOCALPHA) return Layout::Alpha::kMultiplied;
  return kinds[0] == EXTRASAMPLE_UNASSALPHA ? Layout::Alpha::kPlain : Layout::Alpha::kNone;
}

Layout layout_of(TIFF* tiff, std::string_view bytes) {
  Layout layout;
  TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &layout.width);
  TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &layout.height);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_BITSPERSAMPLE, &layout.bits);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &layout.samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &layout.planar);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &layout.packing);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLEFORMAT, &layout.format);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_ORIENTATION, &layout.orientation);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_INKSET, &layout.ink);
  if (TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &layout.photometric) == 0)
    layout.photometric = layout.samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
  const bool is_jpeg = layout.packing == COMPRESSION_JPEG && layout.photometric == PHOTOMETRIC_YCBCR;
  if (is_jpeg && layout.planar == PLANARCONFIG_CONTIG) {
    TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    layout.photometric = PHOTOMETRIC_RGB;
  }
  layout.num_colors = colors_of(layout.photometric);
  layout.alpha = alpha_of(tiff, layout, bytes);
  layout.is_tiled = TIFFIsTiled(tiff) != 0;
  layout.chunk_width = layout.width;
  if (layout.is_tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &layout.chunk_width);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &layout.chunk_height);
  } else {
    TIFFGetFieldDefaulted(tiff, TIFFTAG_ROWSPERSTRIP, &layout.chunk_height);
    layout.chunk_height = std::min(layout.chunk_height, layout.height);
  }
  return layout;
}

void check_layout(const Layout& layout, const std::string& name) {
  const auto refuse = [&](const std::string& what) { throw unsupported_image(name, kKind, what); };
  const uint16_t color = layout.photometric, bits = layout.bits;
  const bool is_known = color == PHOTOMETRIC_MINISBLACK || color == PHOTOMETRIC_MINISWHITE ||
                        color == PHOTOMETRIC_RGB || color == PHOTOMETRIC_PALETTE ||
                        (color == PHOTOMETRIC_SEPARATED && layout.ink == INKSET_CMYK);
  if (!is_known) refuse(fmt::format("colours of kind {} (photometric interpretation)", color));
  const bool is_index = color == PHOTOMETRIC_PALETTE;
  if (!(bits == 1 || bits == 2 || bits == 4 || bits == 8 || (bits == 16 && !is_index)))
    refuse(fmt::format("{} bits a sample", bits));
  if (layout.format != SAMPLEFORMAT_UINT && layout.format != SAMPLEFORMAT_VOID)
    refuse("samples that are not whole numbers from 0 on");
  if (layout.samples < layout.num_colors || layout.samples > kMostSamples)
    refuse(fmt::format("{} samples a pixel", layout.samples));
  if (layout.packing == COMPRESSION_OJPEG) refuse("JPEG of the old form");
}

// The samples of all pixels, colours first and then alpha, 8 bits each; an index of a palette stays as it is.
class SampleReader {
 public:
  SampleReader(TIFF* tiff, const Layout& layout, const Source& source, const std::string& name,
               uint64_t most_bytes)
      : tiff_(tiff), layout_(layout), source_(source), name_(name) {
    const uint64_t chunk_bytes = layout.is_tiled ? TIFFTileSize64(tiff) : TIFFStripSize64(tiff);
    if (chunk_bytes == 0 || layout.chunk_width == 0 || layout.chunk_height == 0) fail();
    if (chunk_bytes > most_bytes)
      throw ImageError(ImageFault::kTooLarge,
                       fmt::format("{}: a {} of {} bytes in one piece is over the limit of {}.", name, kKind,
                                   chunk_bytes, most_bytes));
    chunk_.resize(size_t(chunk_bytes));
    kept_ = size_t(layout.num_colors) + (layout.alpha == Layout::Alpha::kNone ? 0 : 1);
    samples_.resize(size_t(layout.width) * layout.height * kept_);
  }

  std::vector<uint8_t> read() {
    const bool is_separate = layout_.planar == PLANARCONFIG_SEPARATE;
    for (size_t plane = 0; plane < (is_separate ? kept_ : 1); ++plane)
      for (uint32_t top = 0; top < layout_.height; top += layout_.chunk_height)
        for (uint32_t left = 0; left < layout_.width; left += layout_.chunk_width) {
          read_chunk(top, left, uint16_t(plane));
          take_chunk(top, left, plane, is_separate);
        }
    return std::move(samples_);
  }
  size_t kept() const { return kept_; }

 private:
  [[noreturn]] void fail() const {
    throw damaged_image(name_, kKind,
                        source_.message[0] == '\0' ? "its pixels are missing" : source_.message);
  }

  void read_chunk(uint32_t top, uint32_t left, uint16_t plane) {
    const uint32_t rows = std::min(layout_.chunk_height, layout_.height - top);
    const auto wanted = layout_.is_tiled ? tmsize_t(chunk_.size()) : TIFFVStripSize(tiff_, rows);
    const tmsize_t got = layout_.is_tiled
                             ? TIFFReadEncodedTile(tiff_, TIFFComputeTile(tiff_, left, top, 0, plane),
                                                   chunk_.data(), tmsize_t(chunk_.size()))
                             : TIFFReadEncodedStrip(tiff_, TIFFComputeStrip(tiff_, top, plane), chunk_.data(),
                                                    tmsize_t(chunk_.size()));
    if (got < wanted) fail();
  }

  // Sample `i` of a row, of 8 bits.
  uint8_t sample(const uint8_t* row, size_t i) const {
    const unsigned bits = layout_.bits;
    if (bits == 8) return row[i];
    if (bits == 16) {
      uint16_t value = 0;
      std::memcpy(&value, row + 2 * i, sizeof value);
      return uint8_t(value >> 8);
    }
    const unsigned most = (1u << bits) - 1, value = row[i * bits / 8] >> (8 - bits - i * bits % 8) & most;
    return uint8_t(layout_.photometric == PHOTOMETRIC_PALETTE ? value : value * 255 / most);
  }

  void take_chunk(uint32_t top, uint32_t left, size_t plane, bool is_separate) {
    const size_t stored = is_separate ? 1 : layout_.samples;
    const size_t row_bytes = (size_t(layout_.chunk_width) * stored * layout_.bits + 7) / 8;
    const uint32_t rows = std::min(layout_.chunk_height, layout_.height - top);
    const uint32_t columns = std::min(layout_.chunk_width, layout_.width - left);
    if (row_bytes * rows > chunk_.size()) fail();
    for (uint32_t y = 0; y < rows; ++y) {
      const uint8_t* row = chunk_.data() + y * row_bytes;
      uint8_t* out = samples_.data() + (size_t(top + y) * layout_.width + left) * kept_;
      for (uint32_t x = 0; x < columns; ++x, out += kept_) {
        if (is_separate)
          out[plane] = sample(row, x);
        else
          for (size_t i = 0; i < kept_; ++i) out[i] = sample(row, x * stored + i);
      }
    }
  }

  TIFF* tiff_;
  const Layout& layout_;
  const Source& source_;
  const std::string& name_;
  size_t kept_ = 1;
  std::vector<uint8_t> chunk_, samples_;
};

Palette palette_of(TIFF* tiff, const Layout& layout, const std::string& name) {
  Palette palette;
  uint16_t *red = nullptr, *green = nullptr, *blue = nullptr;
  if (TIFFGetField(tiff, TIFFTAG_COLORMAP, &red, &green, &blue) == 0)
    throw damaged_image(name, kKind, "it has no colour map");
  for (size_t i = 0; i < size_t{1} << layout.bits; ++i)
    palette.colors[i] = {uint8_t(red[i] >> 8), uint8_t(green[i] >> 8), uint8_t(blue[i] >> 8)};
  return palette;
}

std::array<uint8_t, 3> color_of(const Layout& layout, const Palette& palette, const uint8_t* samples) {
  std::array<uint8_t, 3> color{};
  if (layout.photometric == PHOTOMETRIC_RGB) {
    std::copy_n(samples, 3, color.begin());
  } else if (layout.photometric == PHOTOMETRIC_SEPARATED) {
    for (size_t c = 0; c < 3; ++c) color[c] = from_ink(255u - samples[c], 255u - samples[3]);
  } else if (layout.photometric == PHOTOMETRIC_PALETTE) {
    color = palette.colors[samples[0]];
  } else {
    color.fill(layout.photometric == PHOTOMETRIC_MINISWHITE ? uint8_t(255 - samples[0]) : samples[0]);
  }
  return color;
}

Image to_rgb(const Layout& layout, const Palette& palette, const std::vector<uint8_t>& samples, size_t kept) {
  Image image(int(layout.height), int(layout.width));
  for (size_t i = 0; i < image.rgb.size() / 3; ++i) {
    const uint8_t* stored = samples.data() + i * kept;
    const auto color = color_of(layout, palette, stored);
    const unsigned alpha = layout.alpha == Layout::Alpha::kNone ? 255 : stored[kept - 1];
    for (size_t c = 0; c < 3; ++c)
      image.rgb[3 * i + c] = layout.alpha == Layout::Alpha::kMultiplied
                                 ? uint8_t(std::min(255u, color[c] + 255 - alpha))
                                 : on_white(color[c], alpha);
  }
  return image;
}

// Luminance and chrominance in another form than JPEG's: libtiff knows how to convert them.
Image read_ycbcr(TIFF* tiff, const Layout& layout, const Source& source, const std::string& name) {
  std::vector<uint32_t> pixels(size_t(layout.width) * layout.height);
  TIFFSetField(tiff, TIFFTAG_ORIENTATION, uint16_t{ORIENTATION_TOPLEFT});  // the caller turns the image
  if (TIFFReadRGBAImageOriented(tiff, layout.width, layout.height, pixels.data(), ORIENTATION_TOPLEFT, 1) ==
      0)
    throw damaged_image(name, kKind, source.message);
  Image image(int(layout.height), int(layout.width));
  for (size_t i = 0; i < pixels.size(); ++i) {
    image.rgb[3 * i] = uint8_t(TIFFGetR(pixels[i]));
    image.rgb[3 * i + 1] = uint8_t(TIFFGetG(pixels[i]));
    image.rgb[3 * i + 2] = uint8_t(TIFFGetB(pixels[i]));
  }
  return image;
}

int orientation_of_tiff(TIFF* tiff, const Layout& layout) {
  uint16_t own = 0;
  if (TIFFGetField(tiff, TIFFTAG_ORIENTATION, &own) != 0)
    return layout.orientation >= 1 && layout.orientation <= 8 ? layout.orientation : 1;
  uint32_t count = 0;
  void* xmp = nullptr;
  if (TIFFGetField(tiff, TIFFTAG_XMLPACKET, &count, &xmp) == 0) return 1;
  return orientation_of({}, {static_cast<const char*>(xmp), count});
}

Image read_image(TIFF* tiff, const Layout& layout, const Source& source, const std::string& name,
                 uint64_t most_bytes) {
  if (TIFFIsCODECConfigured(layout.packing) == 0)
    throw unsupported_image(name, kKind, fmt::format("compression {}", layout.packing));
  if (layout.photometric == PHOTOMETRIC_YCBCR && layout.packing != COMPRESSION_OJPEG)
    return read_ycbcr(tiff, layout, source, name);
  check_layout(layout, name);
  const Palette palette =
      layout.photometric == PHOTOMETRIC_PALETTE ? palette_of(tiff, layout, name) : Palette();
  SampleReader reader(tiff, layout, source, name, most_bytes);
  return to_rgb(layout, palette, reader.read(), reader.kept());
}

}  // namespace

Image decode_tiff(std::string_view bytes, const std::string& name, const DecodeLimits& limits) {
  const uint64_t most_bytes = uint64_t(limits.pixels) * kMostSamples;
  const std::string mended = limits.damaged == DamagedImages::kRead ? mended_tiff(bytes) : "";
  Source source{.bytes = mended.empty() ? bytes : mended};
  const Tiff tiff = open_tiff(source, tmsize_t(most_bytes));
  if (!tiff) throw damaged_image(name, kKind, source.message);
  const Layout layout = layout_of(tiff.get(), source.bytes);
  check_size(layout.width, layout.height, name, limits);
  const int orientation = orientation_of_tiff(tiff.get(), layout);
  return oriented(read_image(tiff.get(), layout, source, name, most_bytes), orientation);
}

}  // namespace pixart::formats
