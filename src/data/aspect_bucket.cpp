#include "pixart/data/aspect_bucket.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>

#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::data {

namespace {

// Whether the official code uses a shape at inference.
enum class Inference { kNever, kAlways, kBelow2048, kAt2048 };
using enum Inference;

struct Entry {
  std::string_view key;
  int height, width;  // of the 1024 table; those of the other tables are in proportion to the resolution
  Inference inference;
};

constexpr std::array<Entry, 40> kTable = {
    {{"0.25", 512, 2048, kAlways},    {"0.26", 512, 1984, kAt2048}, {"0.27", 512, 1920, kNever},
     {"0.28", 512, 1856, kBelow2048}, {"0.32", 576, 1792, kAlways}, {"0.33", 576, 1728, kAlways},
     {"0.35", 576, 1664, kAlways},    {"0.4", 640, 1600, kAlways},  {"0.42", 640, 1536, kAlways},
     {"0.48", 704, 1472, kAlways},    {"0.5", 704, 1408, kAlways},  {"0.52", 704, 1344, kAlways},
     {"0.57", 768, 1344, kAlways},    {"0.6", 768, 1280, kAlways},  {"0.68", 832, 1216, kAlways},
     {"0.72", 832, 1152, kAlways},    {"0.78", 896, 1152, kAlways}, {"0.82", 896, 1088, kAlways},
     {"0.88", 960, 1088, kAlways},    {"0.94", 960, 1024, kAlways}, {"1.0", 1024, 1024, kAlways},
     {"1.07", 1024, 960, kAlways},    {"1.13", 1088, 960, kAlways}, {"1.21", 1088, 896, kAlways},
     {"1.29", 1152, 896, kAlways},    {"1.38", 1152, 832, kAlways}, {"1.46", 1216, 832, kAlways},
     {"1.67", 1280, 768, kAlways},    {"1.75", 1344, 768, kAlways}, {"2.0", 1408, 704, kAlways},
     {"2.09", 1472, 704, kAlways},    {"2.4", 1536, 640, kAlways},  {"2.5", 1600, 640, kAlways},
     {"2.89", 1664, 576, kNever},     {"3.0", 1728, 576, kAlways},  {"3.11", 1792, 576, kNever},
     {"3.62", 1856, 512, kNever},     {"3.75", 1920, 512, kNever},  {"3.88", 1984, 512, kNever},
     {"4.0", 2048, 512, kAlways}}};

constexpr std::array kResolutions = {256, 512, 1024, 2048};

bool is_for_inference(const Entry& entry, int resolution) {
  return entry.inference == kAlways || entry.inference == (resolution == 2048 ? kAt2048 : kBelow2048);
}

std::vector<AspectBucket> make_table(int resolution) {
  std::vector<AspectBucket> result;
  for (const auto& entry : kTable)
    result.push_back({.key = std::string(entry.key),
                      .ratio = std::stod(std::string(entry.key)),
                      .height = entry.height * resolution / 1024,
                      .width = entry.width * resolution / 1024,
                      .filter = resolution == 2048 ? Filter::kLanczos : Filter::kBicubic});
  return result;
}

}  // namespace

bool has_aspect_buckets(int resolution) {
  return std::ranges::find(kResolutions, resolution) != kResolutions.end();
}

std::string aspect_bucket_resolutions() {
  std::vector<std::string> words;
  for (const int resolution : kResolutions) words.push_back(std::to_string(resolution));
  return join(words, ", ");
}

const std::vector<AspectBucket>& aspect_buckets(int resolution) {
  static const auto tables = [] {
    std::map<int, std::vector<AspectBucket>> all;
    for (const int each : kResolutions) all[each] = make_table(each);
    return all;
  }();
  const auto found = tables.find(resolution);
  if (found == tables.end())
    throw UserError(fmt::format("resolution {} has no aspect buckets; expected one of {}.", resolution,
                                aspect_bucket_resolutions()));
  return found->second;
}

std::vector<AspectBucket> inference_aspect_buckets(int resolution) {
  const auto& all = aspect_buckets(resolution);
  std::vector<AspectBucket> result;
  for (size_t i = 0; i < all.size(); ++i)
    if (is_for_inference(kTable[i], resolution)) result.push_back(all[i]);
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

Image resize_to_bucket(const formats::ReducedImage& image, const AspectBucket& bucket,
                       const std::optional<CropPlace>& place) {
  return cover_and_crop(image, bucket.height, bucket.width, bucket.filter, place);
}

}  // namespace pixart::data
