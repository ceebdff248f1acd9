// Golden kinds image_transform: the `steps` (resizing; its `files`, decoding, belong to module formats), and
// aspect_bucket.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "golden.h"
#include "pixart/data/aspect_bucket.h"
#include "pixart/data/transform.h"

namespace pixart::data {
namespace {

using testing::golden_cases;
using testing::GoldenCase;

Filter filter_named(const std::string& name) {
  if (name == "bicubic") return Filter::kBicubic;
  if (name == "bilinear") return Filter::kBilinear;
  if (name == "lanczos") return Filter::kLanczos;
  throw std::runtime_error("unknown interpolation " + name);
}

// "size" is one number for a square, or [height, width].
std::pair<int, int> size_of(const nlohmann::json& size) {
  if (size.is_number()) return {size.get<int>(), size.get<int>()};
  return {size.at(0).get<int>(), size.at(1).get<int>()};
}

Image resized(const nlohmann::json& step, const Image& image) {
  const auto [height, width] = size_of(step.at("size"));
  const Filter filter = filter_named(step.at("interpolation"));
  const std::string transform = step.at("transform");
  if (transform == "short_side") return resize_short_side(image, height, filter);
  if (transform == "cover") return resize_to_cover(image, height, width, filter);
  if (transform == "stretch") return resize(image, height, width, filter);
  throw std::runtime_error("unknown transform " + transform);
}

at::Tensor bytes_of(const Image& image) {
  return at::from_blob(const_cast<uint8_t*>(image.rgb.data()), {image.height, image.width, 3}, at::kByte)
      .clone();
}

void expect_step(const GoldenCase& c, const nlohmann::json& step) {
  const Image image = formats::load_image(c.folder / step.at("file").get<std::string>());
  EXPECT_EQ(size_of(step.at("input")), std::pair(image.height, image.width));
  const Image whole = resized(step, image);
  EXPECT_EQ(size_of(step.at("resized")), std::pair(whole.height, whole.width));
  const auto [height, width] = size_of(step.at("size"));
  const Image cropped = center_crop(whole, height, width);
  const std::string out = step.at("out");
  const at::Tensor want = c.tensor(out), got = bytes_of(cropped);
  ASSERT_EQ(got.sizes(), want.sizes());
  const int64_t different = got.ne(want).sum().item<int64_t>();
  EXPECT_EQ(different, 0) << different << " of " << got.numel() << " values differ";
  if (!c.has(out + ".normalized")) return;
  const double error = (to_tensor(cropped) - c.tensor(out + ".normalized")).abs().max().item<double>();
  EXPECT_LE(error, c.json.at("tolerance").at("normalized").at("atol").get<double>());
}

TEST(Golden, ImageTransformSteps) {
  int steps = 0;
  for (const auto& c : golden_cases("image_transform")) {
    if (!c.config().contains("steps")) continue;
    for (const auto& step : c.config().at("steps")) {
      SCOPED_TRACE(c.name + ": " + step.at("transform").get<std::string>() + " " +
                   step.at("file").get<std::string>() + " -> " + step.at("out").get<std::string>());
      expect_step(c, step);
      ++steps;
    }
  }
  EXPECT_GT(steps, 0) << "no case has steps";
}

std::vector<AspectBucket> table_named(const std::string& name) {
  const std::string kPrefix = "ASPECT_RATIO_", kTest = "_TEST";
  const bool inference = name.ends_with(kTest);
  const int resolution = std::stoi(name.substr(kPrefix.size()));
  return inference ? inference_aspect_buckets(resolution) : aspect_buckets(resolution);
}

TEST(Golden, AspectBucket) {
  int lines = 0;
  for (const auto& c : golden_cases("aspect_bucket")) {
    SCOPED_TRACE(c.name);
    const auto buckets = table_named(c.config().at("table"));
    const auto& want = c.config().at("buckets");
    ASSERT_EQ(buckets.size(), want.size());
    for (size_t i = 0; i < buckets.size(); ++i) {
      EXPECT_EQ(buckets[i].key, want[i][0].get<std::string>());
      EXPECT_EQ(buckets[i].ratio, want[i][1].get<double>());
      EXPECT_EQ(std::pair(buckets[i].height, buckets[i].width), size_of(want[i][2]));
    }
    std::ifstream file(c.folder / c.config().at("cases").get<std::string>());
    int64_t in_case = 0;
    for (std::string line; std::getline(file, line); ++in_case) {
      SCOPED_TRACE(line);
      const auto j = nlohmann::json::parse(line);
      const int height = j.at("height"), width = j.at("width");
      const auto& bucket = buckets[nearest_bucket(buckets, height, width)];
      EXPECT_EQ(bucket.key, j.at("key").get<std::string>());
      EXPECT_EQ(std::pair(bucket.height, bucket.width), size_of(j.at("bucket")));
      EXPECT_EQ(cover_size(height, width, bucket.height, bucket.width), size_of(j.at("resize")));
    }
    EXPECT_EQ(in_case, c.config().at("count").get<int64_t>());
    lines += int(in_case);
  }
  EXPECT_GT(lines, 0);
}

}  // namespace
}  // namespace pixart::data
