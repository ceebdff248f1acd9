#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <opencv2/imgproc.hpp>

#include "pixart/base/random.h"
#include "pixart/demo/scenes.h"

namespace pixart::demo {
namespace {

constexpr double kRed[] = {220, 40, 40};

cv::Mat view(Image& image) { return cv::Mat(image.height, image.width, CV_8UC3, image.rgb.data()); }

// Positions and radii as drawn for training; shapes, colours and backgrounds in turn, held-out pairs too.
Scene any_scene(int64_t i, bool shaded) {
  Scene scene = draw_scene_parameters(5, i, shaded);
  scene.shape = int(i % 4);
  scene.color = int(i / 4 % 4);
  scene.background = int(i / 16 % 3);
  return scene;
}

bool is_read(const Scene& scene, const Image& image) {
  const Judgement judgement = judge_scene(image);
  return judgement.shape == scene.shape && judgement.color == scene.color &&
         judgement.background == scene.background;
}

// Percentage of scenes that are read in full after `change`.
double percent_read(
    int64_t count, bool shaded, int size,
    const std::function<void(Image&, int64_t)>& change = [](Image&, int64_t) {}) {
  int64_t right = 0;
  for (int64_t i = 0; i < count; ++i) {
    const Scene scene = any_scene(i, shaded);
    Image image = draw_scene(scene, size);
    change(image, i);
    right += is_read(scene, image);
  }
  return 100.0 * double(right) / double(count);
}

// An autoencoder's faults: blur, then noise.
void spoil(Image& image, int64_t i, double sigma, double noise) {
  cv::Mat pixels = view(image);
  cv::GaussianBlur(pixels, pixels, {0, 0}, sigma, sigma, cv::BORDER_REPLICATE);
  std::vector<float> normal(image.rgb.size());
  fill_normal({.seed = 7, .stream = uint64_t(i)}, normal);
  for (size_t k = 0; k < normal.size(); ++k)
    image.rgb[k] = uint8_t(std::lround(std::clamp(image.rgb[k] + noise * normal[k], 0.0, 255.0)));
}

double psnr(const Image& a, const Image& b) {
  double sum = 0;
  for (size_t k = 0; k < a.rgb.size(); ++k) sum += std::pow((double(a.rgb[k]) - double(b.rgb[k])) / 255, 2);
  return -10 * std::log10(sum / double(a.rgb.size()));
}

TEST(SceneJudge, ReadsEveryDrawnScene) {
  for (const bool shaded : {false, true}) EXPECT_EQ(percent_read(2000, shaded, 32), 100) << shaded;
}

TEST(SceneJudge, ReadsOtherSizes) {
  for (const int size : {16, 48, 64, 100, 256})
    for (const bool shaded : {false, true})
      EXPECT_GE(percent_read(96, shaded, size), 99) << size << " " << shaded;
}

TEST(SceneJudge, ReadsBlurredAndNoisyScenes) {
  double sum = 0;
  for (int64_t i = 0; i < 48; ++i) {
    const Image clean = draw_scene(any_scene(i, false));
    Image spoilt = clean;
    spoil(spoilt, i, 1.0, 10);
    sum += psnr(clean, spoilt);
  }
  EXPECT_LT(sum / 48, 26);  // at least as bad as the demo's autoencoder
  for (const bool shaded : {false, true})
    EXPECT_GE(percent_read(480, shaded, 32, [](Image& image, int64_t i) { spoil(image, i, 1.0, 10); }), 99)
        << shaded;
  EXPECT_GE(percent_read(480, false, 32, [](Image& image, int64_t i) { spoil(image, i, 0.6, 20); }), 95);
}

TEST(SceneJudge, AWrongColorOrBackgroundIsNotCalledAnother) {
  for (int64_t i = 0; i < 96; ++i) {
    Scene drawn = any_scene(i, false);
    const Image image = draw_scene(drawn);
    drawn.color = (drawn.color + 1) % 4;
    EXPECT_FALSE(is_read(drawn, image));
  }
  Image purple(64, 64, 245);
  cv::circle(view(purple), {32, 32}, 20, {150, 40, 160}, -1);
  EXPECT_EQ(judge_scene(purple).color, -1);
  EXPECT_EQ(judge_scene(purple).shape, 0);
  Image on_green(64, 64);
  view(on_green) = cv::Scalar(90, 200, 90);
  cv::circle(view(on_green), {32, 32}, 20, {220, 40, 40}, -1);
  EXPECT_EQ(judge_scene(on_green).background, -1);
  EXPECT_EQ(judge_scene(on_green).color, 0);
}

TEST(SceneJudge, AnEmptyBackgroundHoldsNoObject) {
  for (const int gray : {14, 128, 245}) {
    const Judgement judgement = judge_scene(Image(32, 32, uint8_t(gray)));
    EXPECT_EQ(judgement.shape, -1);
    EXPECT_EQ(judgement.color, -1);
    EXPECT_GE(judgement.background, 0);
  }
  Image graded(32, 32);  // black to white, steeper than any drawn background
  for (int y = 0; y < 32; ++y) std::fill_n(graded.at(y, 0), 32 * 3, uint8_t(8 * y));
  EXPECT_EQ(judge_scene(graded).shape, -1);
}

using Points = std::vector<cv::Point2d>;

Points polygon(int corners, double turn, double inner = 1) {
  Points points;
  for (int i = 0; i < corners; ++i) {
    const double angle = turn + 2 * M_PI * i / corners, radius = i % 2 == 0 ? 1 : inner;
    points.push_back({radius * std::cos(angle), radius * std::sin(angle)});
  }
  return points;
}

Image draw_polygon(const Points& points, double x, double y, double radius) {
  std::vector<cv::Point> fixed;  // in sixteenths of a pixel
  for (const auto& p : points)
    fixed.push_back({int(std::lround(16 * (x + radius * p.x))), int(std::lround(16 * (y + radius * p.y)))});
  Image image(64, 64, 245);
  cv::fillPoly(view(image), std::vector<std::vector<cv::Point>>{fixed}, {kRed[0], kRed[1], kRed[2]},
               cv::LINE_AA, 4);
  return image;
}

TEST(SceneJudge, OtherShapesAreNone) {
  const std::vector<std::pair<const char*, Points>> others = {
      {"star", polygon(10, -M_PI / 2, 0.4)},
      {"diamond", polygon(4, 0)},
      {"triangle pointing down", polygon(3, M_PI / 2)},
      {"triangle pointing right", polygon(3, 0)},
      {"L", {{-1, -1}, {-.3, -1}, {-.3, .3}, {1, .3}, {1, 1}, {-1, 1}}},
      {"T", {{-1, -1}, {1, -1}, {1, -.4}, {.3, -.4}, {.3, 1}, {-.3, 1}, {-.3, -.4}, {-1, -.4}}},
      {"bar", {{-1, -.5}, {1, -.5}, {1, .5}, {-1, .5}}},
      {"X", polygon(8, M_PI / 4, 0.25)}};
  for (const auto& [name, points] : others)
    for (const double radius : {18.0, 20.0, 22.0})
      for (const double x : {30.0, 32.0, 34.5})
        EXPECT_EQ(judge_scene(draw_polygon(points, x, 32, radius)).shape, -1) << name;
  EXPECT_EQ(judge_scene(draw_polygon(polygon(3, -M_PI / 2), 32, 34, 20)).shape,
            2);  // the drawing itself is no reason
  EXPECT_EQ(judge_scene(draw_polygon(polygon(4, M_PI / 4), 32, 32, 24)).shape, 1);
}

TEST(SceneJudge, FlatEllipsesAndTwoObjectsAreNone) {
  Image ellipse(64, 64, 245);
  cv::ellipse(view(ellipse), {32, 32}, {21, 14}, 0, 0, 360, {220, 40, 40}, -1, cv::LINE_AA);
  EXPECT_EQ(judge_scene(ellipse).shape, -1);
  Image two(64, 64, 245);
  cv::circle(view(two), {18, 32}, 11, {220, 40, 40}, -1);
  cv::circle(view(two), {46, 32}, 11, {220, 40, 40}, -1);
  EXPECT_EQ(judge_scene(two).shape, -1);
}

// Smooth random fields in all colours, and ragged red blobs: what a model that learned nothing might paint.
std::vector<float> smooth_field(int64_t i, int channels, double sigma) {
  std::vector<float> field(size_t(32 * 32 * channels));
  fill_normal({.seed = 11, .stream = uint64_t(i)}, field);
  cv::Mat all(32, 32, CV_32FC(channels), field.data());
  cv::GaussianBlur(all, all, {0, 0}, sigma);
  double square = 0;
  for (const float value : field) square += double(value) * value;
  const auto scale = float(1 / std::sqrt(square / double(field.size())));
  for (float& value : field) value *= scale;
  return field;
}

TEST(SceneJudge, RandomSmearsAreSeldomCalledAShape) {
  int smears = 0, blobs = 0;
  for (int64_t i = 0; i < 300; ++i) {
    const double sigma = 1.0 + double(i % 8);
    const auto colors = smooth_field(i, 3, sigma), edge = smooth_field(i, 1, 2.5);
    Image smear(32, 32), blob(32, 32);
    for (int y = 0; y < 32; ++y)
      for (int x = 0; x < 32; ++x) {
        const size_t at = size_t(y) * 32 + size_t(x);
        const double inside = std::clamp(0.5 + edge[at] + (9 - std::hypot(x - 15.5, y - 15.5)) / 3, 0.0, 1.0);
        for (size_t c = 0; c < 3; ++c) {
          smear.at(y, x)[c] = uint8_t(std::clamp(128 + 60 * double(colors[at * 3 + c]), 0.0, 255.0));
          blob.at(y, x)[c] = uint8_t(245 * (1 - inside) + kRed[c] * inside);
        }
      }
    smears += judge_scene(smear).shape >= 0;
    blobs += judge_scene(blob).shape >= 0;
  }
  EXPECT_LE(smears, 3);  // 1 %
  EXPECT_LE(blobs, 15);  // 5 %: some ragged discs are round
}

}  // namespace
}  // namespace pixart::demo
