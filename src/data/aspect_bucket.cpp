#include "pixart/data/aspect_bucket.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>

#include "pixart/base/error.h"

namespace pixart::data {

namespace {

struct Entry {
  std::string_view key;
  int height, width;  // of the 1024 table; the other tables have a half and a quarter of these
  bool inference;
};

constexpr std::array<Entry, 40> kTable = {
    {{"0.25", 512, 2048, true},  {"0.26", 512, 1984, false}, {"0.27", 512, 1920, false},
     {"0.28", 512, 1856, true},  {"0.32", 576, 1792, true},  {"0.33", 576, 1728, true},
     {"0.35", 576, 1664, true},  {"0.4", 640, 1600, true},   {"0.42", 640, 1536, true},
     {"0.48", 704, 1472, true},  {"0.5", 704, 1408, true},   {"0.52", 704, 1344, true},
     {"0.57", 768, 1344, true},  {"0.6", 768, 1280, true},   {"0.68", 832, 1216, true},
     {"0.72", 832, 1152, true},  {"0.78", 896, 1152, true},  {"0.82", 896, 1088, true},
     {"0.88", 960, 1088, true},  {"0.94", 960, 1024, true},  {"1.0", 1024, 1024, true},
     {"1.07", 1024, 960, true},  {"1.13", 1088, 960, true},  {"1.21", 1088, 896, true},
     {"1.29", 1152, 896, true},  {"1.38", 1152, 832, true},  {"1.46", 1216, 832, true},
     {"1.67", 1280, 768, true},  {"1.75", 1344, 768, true},  {"2.0", 1408, 704, true},
     {"2.09", 1472, 704, true},  {"2.4", 1536, 640, true},   {"2.5", 1600, 640, true},
     {"2.89", 1664, 576, false}, {"3.0", 1728, 576, true},   {"3.11", 1792, 576, false},
     {"3.62", 1856, 512, false}, {"3.75", 1920, 512, false}, {"3.88", 1984, 512, false},
     {"4.0", 2048, 512, true}}};

std::vector<AspectBucket> make_table(int resolution) {
  std::vector<AspectBucket> result;
  const int divisor = 1024 / resolution;
  for (const auto& entry : kTable)
    result.push_back({.key = std::string(entry.key),
                      .ratio = std::stod(std::string(entry.key)),
                      .height = entry.height / divisor,
                      .width = entry.width / divisor});
  return result;
}

}  // namespace

bool has_aspect_buckets(int resolution) {
  return resolution == 256 || resolution == 512 || resolution == 1024;
}

const std::vector<AspectBucket>& aspect_buckets(int resolution) {
  static const std::map<int, std::vector<AspectBucket>> tables = {
      {256, make_table(256)}, {512, make_table(512)}, {1024, make_table(1024)}};
  const auto found = tables.find(resolution);
  if (found == tables.end())
    throw UserError(
        fmt::format("there are no aspect buckets for resolution {}; expected 256, 512 or 1024.", resolution));
  return found->second;
}

std::vector<AspectBucket> inference_aspect_buckets(int resolution) {
  const auto& all = aspect_buckets(resolution);
  std::vector<AspectBucket> result;
  for (size_t i = 0; i < all.size(); ++i)
    if (kTable[i].inference) result.push_back(all[i]);
  return result;
}

size_t nearest_bucket(const std::vector<AspectBucket>& buckets, int height, int width) {
  PIXART_CHECK(!buckets.empty() && height > 0 && width > 0);
  const double ratio = double(height) / double(width);
  const auto nearest = std::min_element(buckets.begin(), buckets.end(), [&](const auto& a, const auto& b) {
    return std::abs(a.ratio - ratio) < std::abs(b.ratio - ratio);
  });
  return size_t(nearest - buckets.begin());
}

Image resize_to_bucket(const formats::ReducedImage& image, const AspectBucket& bucket, Filter filter) {
  return cover_and_crop(image, bucket.height, bucket.width, filter);
}

}  // namespace pixart::data
