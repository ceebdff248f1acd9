// Reads a drawn or generated scene: background, then the object that stands out from it.
#include <algorithm>
#include <cmath>
#include <opencv2/imgproc.hpp>

#include "pixart/data/scenes.h"
#include "scene_palette.h"

namespace pixart::data {

namespace {

constexpr int kSide = 64;              // pictures are enlarged to this before judging
constexpr int kBorder = 4;             // 2 pixels of 32
constexpr int kTemplateSide = 32;
constexpr double kForeground = 0.26;   // colour distance from the background, in units of [0, 1]
constexpr double kFarthestColor = 0.3; // a colour farther than this from the palette is none of it
constexpr double kSmallestArea = 0.06, kLargestArea = 0.6;  // of the picture; drawn objects cover 0.11 to 0.36
constexpr double kSmallestOverlap = 0.78;
constexpr double kLargestAspect = 1.5;

using Picture = cv::Mat_<cv::Vec3f>;

Picture to_picture(const Image& image) {
  const cv::Mat bytes(image.height, image.width, CV_8UC3, const_cast<uint8_t*>(image.rgb.data()));
  cv::Mat floats;
  bytes.convertTo(floats, CV_32FC3, 1.0 / 255);
  cv::resize(floats, floats, {kSide, kSide}, 0, 0, cv::INTER_LINEAR);
  return floats;
}

// The plane a + b x + c y fitted to the border, per channel, evaluated everywhere.
Picture fit_background(const Picture& picture) {
  cv::Mat_<double> left(0, 3), right(0, 3);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) {
      const bool border = x < kBorder || y < kBorder || x >= kSide - kBorder || y >= kSide - kBorder;
      if (!border) continue;
      left.push_back(cv::Mat_<double>({1, 3}, {1.0, double(x), double(y)}));
      const cv::Vec3f p = picture(y, x);
      right.push_back(cv::Mat_<double>({1, 3}, {double(p[0]), double(p[1]), double(p[2])}));
    }
  cv::Mat_<double> solution;
  cv::solve(left, right, solution, cv::DECOMP_SVD);
  Picture plane(kSide, kSide);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x)
      for (int c = 0; c < 3; ++c) plane(y, x)[c] = float(solution(0, c) + solution(1, c) * x + solution(2, c) * y);
  return plane;
}

template <size_t N>
int nearest_color(const cv::Vec3f& color, const std::array<Color, N>& palette) {
  int best = -1;
  double smallest = kFarthestColor;
  for (size_t i = 0; i < N; ++i) {
    const cv::Vec3f other(float(palette[i][0]) / 255, float(palette[i][1]) / 255, float(palette[i][2]) / 255);
    if (const double distance = cv::norm(color - other); distance < smallest) smallest = distance, best = int(i);
  }
  return best;
}

// The largest connected region of foreground, empty if there is none of a plausible size.
cv::Mat_<uint8_t> find_object(const Picture& picture, const Picture& background) {
  cv::Mat_<uint8_t> mask(kSide, kSide);
  for (int y = 0; y < kSide; ++y)
    for (int x = 0; x < kSide; ++x) mask(y, x) = cv::norm(picture(y, x) - background(y, x)) > kForeground ? 255 : 0;
  cv::Mat labels, stats, centroids;
  const int count = cv::connectedComponentsWithStats(mask, labels, stats, centroids, 8);
  int largest = 0;
  for (int i = 1; i < count; ++i)
    if (largest == 0 || stats.at<int>(i, cv::CC_STAT_AREA) > stats.at<int>(largest, cv::CC_STAT_AREA)) largest = i;
  const double share = largest == 0 ? 0.0 : double(stats.at<int>(largest, cv::CC_STAT_AREA)) / (kSide * kSide);
  if (share < kSmallestArea || share > kLargestArea) return {};
  return labels == largest;
}

cv::Vec3f median_color(const Picture& picture, const cv::Mat_<uint8_t>& mask) {
  cv::Vec3f result;
  for (int c = 0; c < 3; ++c) {
    std::vector<float> values;
    for (int y = 0; y < kSide; ++y)
      for (int x = 0; x < kSide; ++x)
        if (mask(y, x) != 0) values.push_back(picture(y, x)[c]);
    std::nth_element(values.begin(), values.begin() + int64_t(values.size() / 2), values.end());
    result[c] = values[values.size() / 2];
  }
  return result;
}

cv::Mat_<float> cropped(const cv::Mat_<uint8_t>& mask) {
  cv::Mat_<float> soft;
  mask(cv::boundingRect(mask)).convertTo(soft, CV_32F, 1.0 / 255);
  cv::resize(soft, soft, {kTemplateSide, kTemplateSide}, 0, 0, cv::INTER_AREA);
  return soft;
}

const std::vector<cv::Mat_<float>>& templates() {
  static const std::vector<cv::Mat_<float>> all = [] {
    std::vector<cv::Mat_<float>> result;
    for (int shape = 0; shape < int(scene_shapes().size()); ++shape) {
      const Picture picture = to_picture(draw_scene({.shape = shape, .color = 0, .background = 1, .radius = 10.25f}));
      result.push_back(cropped(find_object(picture, fit_background(picture))));
    }
    return result;
  }();
  return all;
}

int nearest_shape(const cv::Mat_<uint8_t>& mask) {
  const cv::Rect box = cv::boundingRect(mask);
  const double aspect = double(box.width) / box.height;
  if (aspect > kLargestAspect || aspect < 1 / kLargestAspect) return -1;
  const cv::Mat_<float> soft = cropped(mask);
  int best = -1;
  double largest = kSmallestOverlap;
  for (size_t i = 0; i < templates().size(); ++i) {
    const double overlap = cv::sum(cv::min(soft, templates()[i]))[0] / cv::sum(cv::max(soft, templates()[i]))[0];
    if (overlap > largest) largest = overlap, best = int(i);
  }
  return best;
}

}  // namespace

Judgement judge_scene(const Image& image) {
  const Picture picture = to_picture(image), background = fit_background(picture);
  Judgement judgement;
  judgement.background = nearest_color(background(kSide / 2, kSide / 2), kBackgroundColors);
  const cv::Mat_<uint8_t> object = find_object(picture, background);
  if (object.empty()) return judgement;
  judgement.color = nearest_color(median_color(picture, object), kObjectColors);
  judgement.shape = nearest_shape(object);
  return judgement;
}

}  // namespace pixart::data
