#include "pixart/data/transform.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <opencv2/imgproc.hpp>
#include <sstream>

#include "pixart/base/error.h"

namespace pixart::data {

namespace {

template <class T, class Convert>
void split_planes(const Image& image, T* out, const Convert& convert) {
  const size_t area = size_t(image.height) * size_t(image.width);
  const uint8_t* in = image.rgb.data();
  for (size_t i = 0; i < area; ++i, in += 3)
    for (size_t c = 0; c < 3; ++c) out[c * area + i] = convert(in[c]);
}

}  // namespace

void copy_planes(const Image& image, uint8_t* out) {
  split_planes(image, out, [](uint8_t value) { return value; });
}

at::Tensor to_tensor(const Image& image) {
  static const std::array<float, 256> kValues = [] {
    std::array<float, 256> values{};
    for (size_t i = 0; i < 256; ++i) values[i] = float(i) / 127.5F - 1.0F;
    return values;
  }();
  at::Tensor result = at::empty({3, image.height, image.width}, at::kFloat);
  split_planes(image, result.data_ptr<float>(), [](uint8_t value) { return kValues[value]; });
  return result;
}

Image to_image(const at::Tensor& tensor) {
  PIXART_CHECK(tensor.dim() == 3 && tensor.size(0) == 3, "expected an image [3, H, W], got {} channels",
               tensor.dim() == 3 ? tensor.size(0) : 0);
  const auto values =
      at::nan_to_num(tensor.detach().cpu().to(at::kFloat), -1).mul(127.5).add(127.5).round().clamp(0, 255);
  const auto bytes = values.to(at::kByte).permute({1, 2, 0}).contiguous();
  Image image(int(bytes.size(0)), int(bytes.size(1)));
  std::copy_n(bytes.data_ptr<uint8_t>(), image.rgb.size(), image.rgb.data());
  return image;
}

namespace {

// The layout of a grid: cells of equal size, as large as the largest image and the text below it.
struct Cells {
  int width = 0, height = 0, columns = 0, rows = 0, gap = 0;

  Cells(const std::vector<Image>& images, int most_columns, int gap_pixels, int scale) : gap(gap_pixels) {
    PIXART_CHECK(!images.empty() && most_columns > 0 && gap >= 0 && scale > 0);
    for (const auto& image : images)
      width = std::max(width, image.width * scale), height = std::max(height, image.height * scale);
    columns = std::min(most_columns, int(images.size()));
    rows = (int(images.size()) + columns - 1) / columns;
  }
  int left(size_t i) const { return gap + int(i) % columns * (width + gap); }
  int top(size_t i) const { return gap + int(i) / columns * (height + gap); }
  Image white() const { return Image(rows * (height + gap) + gap, columns * (width + gap) + gap, 255); }
};

void paste(Image& onto, const Image& image, int top, int left, int scale) {
  for (int y = 0; y < image.height * scale; ++y)
    for (int x = 0; x < image.width * scale; ++x)
      std::copy_n(image.at(y / scale, x / scale), 3, onto.at(top + y, left + x));
}

constexpr int kFont = cv::FONT_HERSHEY_SIMPLEX;
constexpr double kFontScale = 0.34;
constexpr int kLineHeight = 12;
constexpr size_t kMostLines = 4;

int text_width(const std::string& text) {
  int baseline = 0;
  return cv::getTextSize(text, kFont, kFontScale, 1, &baseline).width;
}

// The font has only ASCII characters; each other character of UTF-8 becomes one '?'.
std::string to_ascii(const std::string& text) {
  std::string result;
  for (const char c : text) {
    const auto byte = uint8_t(c);
    const bool continues = (byte & 0xC0) == 0x80;
    if (!continues) result += byte >= 0x80 ? '?' : c;
  }
  return result;
}

// Breaks lines at blanks, and within words that are wider than a line.
std::vector<std::string> wrap(const std::string& text, int width) {
  std::vector<std::string> lines;
  std::istringstream words(to_ascii(text));
  for (std::string word; words >> word;) {
    if (!lines.empty() && text_width(lines.back() + " " + word) <= width) {
      lines.back() += " " + word;
      continue;
    }
    lines.emplace_back();
    for (const char c : word) {
      if (!lines.back().empty() && text_width(lines.back() + c) > width) lines.emplace_back();
      lines.back() += c;
    }
  }
  if (lines.size() > kMostLines) {
    lines.resize(kMostLines);
    while (!lines.back().empty() && text_width(lines.back() + "...") > width) lines.back().pop_back();
    lines.back() += "...";
  }
  return lines;
}

}  // namespace

Image make_grid(const std::vector<Image>& images, int columns, int gap, int scale) {
  const Cells cells(images, columns, gap, scale);
  Image grid = cells.white();
  for (size_t i = 0; i < images.size(); ++i) paste(grid, images[i], cells.top(i), cells.left(i), scale);
  return grid;
}

Image make_captioned_grid(const std::vector<Image>& images, const std::vector<std::string>& captions,
                          int columns, int scale) {
  PIXART_CHECK(images.size() == captions.size(), "{} images, {} captions", images.size(), captions.size());
  constexpr int kGap = 6;
  Cells cells(images, columns, kGap, scale);
  const int text_top = cells.height;
  std::vector<std::vector<std::string>> texts;
  size_t most_lines = 0;
  for (const auto& caption : captions) {
    texts.push_back(wrap(caption, cells.width));
    most_lines = std::max(most_lines, texts.back().size());
  }
  cells.height += int(most_lines) * kLineHeight + (most_lines > 0 ? kGap : 0);
  Image grid = cells.white();
  cv::Mat canvas(grid.height, grid.width, CV_8UC3, grid.rgb.data());
  for (size_t i = 0; i < images.size(); ++i) {
    paste(grid, images[i], cells.top(i), cells.left(i), scale);
    for (size_t line = 0; line < texts[i].size(); ++line) {
      const cv::Point baseline(cells.left(i), cells.top(i) + text_top + int(line + 1) * kLineHeight);
      cv::putText(canvas, texts[i][line], baseline, kFont, kFontScale, cv::Scalar::all(40), 1, cv::LINE_AA);
    }
  }
  return grid;
}

}  // namespace pixart::data
