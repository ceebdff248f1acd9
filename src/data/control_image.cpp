#include "pixart/data/control_image.h"

#include <opencv2/imgproc.hpp>

#include "pixart/base/error.h"

namespace pixart::data {

namespace {

Image canny_edges(const Image& image, double low, double high) {
  const cv::Mat color(image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.rgb.data()));
  cv::Mat gray, edges;
  cv::cvtColor(color, gray, cv::COLOR_RGB2GRAY);
  cv::Canny(gray, edges, low, high);
  Image result(image.height, image.width);
  for (int row = 0; row < edges.rows; ++row)
    for (int col = 0; col < edges.cols; ++col)
      std::fill_n(&result.rgb[3 * (size_t(row) * size_t(image.width) + size_t(col))], 3,
                  edges.at<uint8_t>(row, col));
  return result;
}

}  // namespace

void ControlImage::validate(std::vector<std::string>& problems) const {
  if (is_on() && low > high)
    problems.push_back(fmt::format("low {} is above high {}: exchange the two", low, high));
  if (!is_on() && (low != ControlImage().low || high != ControlImage().high))
    problems.push_back("low and high have no effect without condition: canny");
}

std::string ControlImage::name() const { return fmt::format("{}-{}-{}", word_of(condition), low, high); }

Image control_image(const Image& image, const ControlImage& control) {
  switch (control.condition) {
    case ControlCondition::kNone:
      return image;
    case ControlCondition::kCanny:
      return canny_edges(image, control.low, control.high);
  }
  PIXART_CHECK(false, "condition {}", int(control.condition));
}

}  // namespace pixart::data
