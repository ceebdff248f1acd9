// Recognises a drawn or generated scene: first the background, then the object in front of it.
#include <algorithm>
#include <array>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "pixart/base/error.h"
#include "pixart/demo/scenes.h"
#include "scene_tables.h"

namespace pixart::demo {

namespace {

constexpr int kSide = 64;               // images are brought to this size before judging
constexpr int kBorder = 4;              // 2 pixels of 32
constexpr double kForeground = 0.26;    // colour distance from the background, in units of [0, 1]
constexpr double kFarthestColor = 0.3;  // a colour farther than this from the palette is not recognised
constexpr double kSmallestArea = 0.06, kLargestArea = 0.5;  // shares of the image; drawn objects: 0.13 to 0.4
constexpr double kLargestRest = 0.4;                        // other foreground, in areas of the object

// Least overlap that is called a circle, square, triangle, cross. Drawn shapes reach 0.92 and more, or 0.87
// with noise and blur at 24 dB. A diamond reaches 0.83 with the circle, an ellipse of 1 : 1.3 reaches 0.85, a
// rectangle of 1 : 1.2 reaches 0.84 with the square. Blur lowers triangle and cross most, and few other
// shapes resemble them.
constexpr std::array<double, 4> kSmallestOverlap = {0.86, 0.84, 0.8, 0.8};

using Pixels = cv::Mat_<cv::Vec3f>;
using Mask = cv::Mat_<uint8_t>;
using SoftMask = cv::Mat_<float>;

Pixels to_pixels(const Image& image) {
  const cv::Mat bytes(image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.rgb.data()));
  cv::Mat floats;
  bytes.convertTo(floats, CV_32FC3, 1.0 / 255);
  const int method = image.height > kSide ? cv::INTER_AREA : cv::INTER_LINEAR;
  cv::resize(floats, floats, {kSide, kSide}, 0, 0, method);
  return floats;
}

bool in_border(int y, int x) { return std::min(x, y) < kBorder || std::max(x, y) >= kSide - kBorder; }

// The plane a + b x + c y fitted to the border by least squares, per channel, evaluated everywhere. The
// border is symmetric around the centre, so that the three coefficients are independent.
Pixels fit_background(const Pixels& image) {
  constexpr float kMiddle = (kSide - 1) / 2.0f;
  cv::Vec3f level(0, 0, 0), across(0, 0, 0), down(0, 0, 0);
  float count = 0, squares = 0;
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) {
      if (!in_border(y, x)) continue;
      const cv::Vec3f color = image(y, x);
      const float right = float(x) - kMiddle, below = float(y) - kMiddle;
      level += color, across += right * color, down += below * color;
      count += 1, squares += right * right;
    }
  Pixels background(kSide, kSide);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x)
      background(y, x) =
          level / count + (float(x) - kMiddle) / squares * across + (float(y) - kMiddle) / squares * down;
  return background;
}

template <size_t N>
int nearest_color(const cv::Vec3f& color, const std::array<Color, N>& palette) {
  int best = -1;
  double smallest = kFarthestColor;
  for (size_t i = 0; i < N; ++i) {
    const cv::Vec3f other(float(palette[i][0]), float(palette[i][1]), float(palette[i][2]));
    if (const double distance = cv::norm(color - other / 255); distance < smallest)
      smallest = distance, best = int(i);
  }
  return best;
}

// The largest connected region of the foreground; empty if none has a plausible size, if it leaves the image,
// or if much of the rest differs from the background as well.
Mask find_object(const Pixels& image, const Pixels& background) {
  Mask foreground(kSide, kSide);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x)
      foreground(y, x) = cv::norm(image(y, x) - background(y, x)) > kForeground ? 255 : 0;
  cv::Mat labels, stats, centroids;
  const int count = cv::connectedComponentsWithStats(foreground, labels, stats, centroids, 8);
  int largest = 0;
  for (int i = 1; i < count; ++i)
    if (largest == 0 || stats.at<int>(i, cv::CC_STAT_AREA) > stats.at<int>(largest, cv::CC_STAT_AREA))
      largest = i;
  if (largest == 0) return {};
  const double area = stats.at<int>(largest, cv::CC_STAT_AREA), share = area / (kSide * kSide);
  if (share < kSmallestArea || share > kLargestArea) return {};
  if (cv::countNonZero(foreground) - area > kLargestRest * area) return {};
  const Mask object = labels == largest;
  const cv::Rect box = cv::boundingRect(object);
  const bool leaves = box.x == 0 || box.y == 0 || box.br().x == kSide || box.br().y == kSide;
  return leaves ? Mask() : object;
}

cv::Mat square_brush(int side) { return cv::getStructuringElement(cv::MORPH_RECT, {side, side}); }

// The median of the pixels well inside the object, if there are any: the edge is mixed with the background.
cv::Vec3f median_color(const Pixels& image, const Mask& object) {
  Mask inner;
  cv::erode(object, inner, square_brush(5));
  const Mask& counted = cv::countNonZero(inner) > 0 ? inner : object;
  cv::Vec3f result;
  for (int c = 0; c < 3; ++c) {
    std::vector<float> values;
    for (int y = 0; y < kSide; ++y)
      for (int x = 0; x < kSide; ++x)
        if (counted(y, x) != 0) values.push_back(image(y, x)[c]);
    const auto middle = values.begin() + int64_t(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    result[c] = *middle;
  }
  return result;
}

// How near each pixel's colour is to the object's, from 0 (background) to 1. One half is at the object's edge
// even in a blurred image, where the foreground mask has grown.
SoftMask coverage_of(const Pixels& image, const Pixels& background, const Mask& object) {
  constexpr float kSlope =
      2;  // shading and noise of up to a quarter leave the inside at 1 and the outside at 0
  Mask around;
  cv::dilate(object, around, square_brush(5));
  const cv::Vec3f color = median_color(image, object);
  SoftMask coverage(kSide, kSide, 0.0f);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) {
      if (around(y, x) == 0) continue;
      const cv::Vec3f way = color - background(y, x);
      const float gone = float((image(y, x) - background(y, x)).dot(way) / std::max(way.dot(way), 1e-6f));
      coverage(y, x) = std::clamp(kSlope * (gone - 0.5f) + 0.5f, 0.0f, 1.0f);
    }
  return coverage;
}

// A mask of the shape, with its edge softened over one pixel.
SoftMask shape_mask(int shape, float center_x, float center_y, float radius) {
  SoftMask mask(kSide, kSide);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) {
      const float distance =
          shape_distance(shape, float(x) + 0.5f - center_x, float(y) + 0.5f - center_y, radius);
      mask(y, x) = std::clamp(0.5f - distance, 0.0f, 1.0f);
    }
  return mask;
}

// Area and centre of mass, in pixels; x and y count from the image's corner.
struct Extent {
  double area = 0, x = 0, y = 0;
};

Extent extent_of(const SoftMask& mask) {
  const cv::Moments moments = cv::moments(mask);
  if (moments.m00 <= 0) return {};
  return {.area = moments.m00, .x = moments.m10 / moments.m00 + 0.5, .y = moments.m01 / moments.m00 + 0.5};
}

// The shape with the given area and centre of mass.
SoftMask draw_template(int shape, const Extent& extent) {
  static const std::vector<Extent> units = [] {  // extents of each shape with radius 1 around the origin
    std::vector<Extent> result;
    for (int s = 0; s < int(scene_shapes().size()); ++s) {
      const Extent whole = extent_of(shape_mask(s, kSide / 2.0f, kSide / 2.0f, kSide / 3.0f));
      const double radius = kSide / 3.0f, middle = kSide / 2.0;
      result.push_back(
          {whole.area / (radius * radius), (whole.x - middle) / radius, (whole.y - middle) / radius});
    }
    return result;
  }();
  const Extent& unit = units[size_t(shape)];
  const double radius = std::sqrt(extent.area / unit.area);
  return shape_mask(shape, float(extent.x - unit.x * radius), float(extent.y - unit.y * radius),
                    float(radius));
}

// The shape of the same area and centre with the best soft intersection over union; -1: none.
int nearest_shape(const SoftMask& object) {
  const Extent extent = extent_of(object);
  if (extent.area <= 0) return -1;
  int best = -1;
  double largest = 0;
  for (int shape = 0; shape < int(scene_shapes().size()); ++shape) {
    const SoftMask drawn = draw_template(shape, extent);
    const double overlap = cv::sum(cv::min(object, drawn))[0] / cv::sum(cv::max(object, drawn))[0];
    if (overlap > largest) largest = overlap, best = shape;
  }
  return largest >= kSmallestOverlap[size_t(best)] ? best : -1;
}

}  // namespace

Judgement judge_scene(const Image& image) {
  PIXART_CHECK(image.height > 0 && image.height == image.width, "a scene of {} x {}", image.width,
               image.height);
  const Pixels pixels = to_pixels(image), background = fit_background(pixels);
  Judgement judgement;
  judgement.background = nearest_color(background(kSide / 2, kSide / 2), kBackgroundColors);
  const Mask object = find_object(pixels, background);
  if (object.empty()) return judgement;
  judgement.color = nearest_color(median_color(pixels, object), kObjectColors);
  judgement.shape = nearest_shape(coverage_of(pixels, background, object));
  return judgement;
}

}  // namespace pixart::demo
