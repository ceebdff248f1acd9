#include "pixart/data/training_shapes.h"

#include "pixart/base/error.h"
#include "pixart/base/random.h"

namespace pixart::data {

namespace {

std::vector<AspectBucket> shapes_of(int side, bool aspect_buckets_too) {
  if (aspect_buckets_too) return aspect_buckets(side);
  return {{.key = "1.0", .ratio = 1, .height = side, .width = side, .filter = Filter::kBicubic}};
}

bool fills(const AspectBucket& shape, int height, int width) {
  return height >= shape.height && width >= shape.width;
}

// A number in [0, 1) that is the same for a key everywhere and always.
double number_of(const std::string& key) {
  uint64_t hash = 14695981039346656037ull;  // FNV-1a
  for (const char letter : key) hash = (hash ^ uint8_t(letter)) * 1099511628211ull;
  return uniform({hash, 0, Purpose::kResolution});
}

// One of the first `count` resolutions.
size_t drawn_level(const std::vector<ResolutionShare>& resolutions, size_t count, const std::string& key) {
  double sum = 0;
  for (size_t level = 0; level < count; ++level) sum += resolutions[level].share;
  double left = number_of(key) * sum;
  for (size_t level = 0; level + 1 < count; ++level)
    if ((left -= resolutions[level].share) < 0) return level;
  return count - 1;
}

}  // namespace

TrainingShapes::TrainingShapes(Config config) : config_(std::move(config)), size_of_level_(1) {
  const auto& resolutions = config_.resolutions;
  PIXART_CHECK(!resolutions.empty() && resolutions.size() <= kMostResolutions, "{} resolutions",
               resolutions.size());
  for (size_t level = 0; level < resolutions.size(); ++level) {
    PIXART_CHECK(level == 0 || resolutions[level - 1].side < resolutions[level].side,
                 "resolutions that do not rise");
    const auto own = shapes_of(resolutions[level].side, config_.aspect_buckets);
    size_of_level_ = own.size();
    shapes_.insert(shapes_.end(), own.begin(), own.end());
  }
  PIXART_CHECK(shapes_.size() <= kMostShapes, "{} shapes", shapes_.size());
}

bool TrainingShapes::reads_keys() const {
  return config_.resolutions.size() > 1 && config_.rule == ResolutionRule::kShare;
}

// The tables have the same ratios in the same order, so the nearest shape is the same one at each resolution.
uint8_t TrainingShapes::bucket_of(int height, int width, const std::string& key) const {
  size_t nearest = 0;
  if (config_.aspect_buckets)
    nearest = nearest_bucket(aspect_buckets(config_.resolutions.front().side), height, width);
  size_t filled = 1;  // resolutions from the smallest on, of which one is always used
  while (filled < config_.resolutions.size() &&
         fills(shapes_[filled * size_of_level_ + nearest], height, width))
    ++filled;
  const size_t level = reads_keys() ? drawn_level(config_.resolutions, filled, key) : filled - 1;
  return uint8_t(level * size_of_level_ + nearest);
}

}  // namespace pixart::data
