#include "pixart/data/transform.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <opencv2/imgproc.hpp>
#include <sstream>

#include "pixart/base/error.h"

namespace pixart::data {

at::Tensor to_tensor(const Image& image) {
  const auto bytes = at::from_blob(const_cast<uint8_t*>(image.rgb.data()), {image.height, image.width, 3}, at::kByte);
  return bytes.permute({2, 0, 1}).to(at::kFloat).div(127.5).sub(1.0).contiguous();
}

Image to_image(const at::Tensor& tensor) {
  const auto bytes = tensor.detach().cpu().to(at::kFloat).mul(127.5).add(127.5).round().clamp(0, 255).to(at::kByte).permute({1, 2, 0}).contiguous();
  Image image(int(bytes.size(0)), int(bytes.size(1)));
  std::copy_n(bytes.data_ptr<uint8_t>(), image.rgb.size(), image.rgb.data());
  return image;
}

namespace {

void paste(Image& onto, const Image& image, int top, int left, int scale) {
  for (int y = 0; y < image.height * scale; ++y)
    for (int x = 0; x < image.width * scale; ++x) std::copy_n(image.at(y / scale, x / scale), 3, onto.at(top + y, left + x));
}

constexpr double kFontScale = 0.32;
constexpr int kLineHeight = 11;

int text_width(const std::string& text) {
  int baseline = 0;
  return cv::getTextSize(text, cv::FONT_HERSHEY_SIMPLEX, kFontScale, 1, &baseline).width;
}

std::vector<std::string> wrapped(const std::string& text, int width) {
  std::vector<std::string> lines;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!lines.empty() && text_width(lines.back() + " " + word) <= width) lines.back() += " " + word;
    else lines.push_back(word);
  }
  return lines;
}


}  // namespace

Image make_grid(const std::vector<Image>& images, int columns, int gap, int scale) {
  PIXART_CHECK(!images.empty() && columns > 0 && scale > 0);
  int width = 0, height = 0;
  for (const auto& image : images) width = std::max(width, image.width * scale), height = std::max(height, image.height * scale);
  const int used = std::min<int>(columns, int(images.size())), rows = (int(images.size()) + used - 1) / used;
  Image grid(rows * (height + gap) + gap, used * (width + gap) + gap, 255);
  for (int i = 0; i < int(images.size()); ++i) paste(grid, images[size_t(i)], gap + i / used * (height + gap), gap + i % used * (width + gap), scale);
  return grid;
}

Image make_captioned_grid(const std::vector<Image>& images, const std::vector<std::string>& captions, int columns, int scale) {
  PIXART_CHECK(!images.empty() && images.size() == captions.size() && columns > 0 && scale > 0);
  constexpr int kGap = 6, kMostLines = 4;
  int width = 0, height = 0;
  for (const auto& image : images) width = std::max(width, image.width * scale), height = std::max(height, image.height * scale);
  std::vector<std::vector<std::string>> lines;
  size_t most = 0;
  for (const auto& caption : captions) {
    lines.push_back(wrapped(caption, width));
    lines.back().resize(std::min<size_t>(lines.back().size(), kMostLines));
    most = std::max(most, lines.back().size());
  }
  const int cell = height + kGap + int(most) * kLineHeight + 4;
  const int used = std::min<int>(columns, int(images.size())), rows = (int(images.size()) + used - 1) / used;
  Image grid(rows * (cell + kGap) + kGap, used * (width + kGap) + kGap, 255);
  cv::Mat canvas(grid.height, grid.width, CV_8UC3, grid.rgb.data());
  for (int i = 0; i < int(images.size()); ++i) {
    const int top = kGap + i / used * (cell + kGap), left = kGap + i % used * (width + kGap);
    paste(grid, images[size_t(i)], top, left, scale);
    for (int line = 0; line < int(lines[size_t(i)].size()); ++line)
      cv::putText(canvas, lines[size_t(i)][size_t(line)], {left, top + height + (line + 1) * kLineHeight}, cv::FONT_HERSHEY_SIMPLEX, kFontScale, {40, 40, 40}, 1, cv::LINE_AA);
  }
  return grid;
}

}  // namespace pixart::data
