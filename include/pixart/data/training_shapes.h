// The shapes to which a stage cuts its images: squares or aspect buckets, of one resolution or several. The number of a
// shape is the bucket of a row in feature sets, in the order of samples and in batches.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/data/aspect_bucket.h"

namespace pixart::data {

// Which of several resolutions an image has. It fills a resolution if its nearest shape there covers no more rows or
// columns than the image has, so that the image is not enlarged. One that fills none has the smallest resolution.
enum class ResolutionRule {
  kLargest,  // the largest one that it fills
  kShare,    // one of those that it fills, drawn by their shares and the image's key
};
inline EnumWords<ResolutionRule> enum_words(ResolutionRule) {
  return {{"largest", ResolutionRule::kLargest}, {"share", ResolutionRule::kShare}};
}

struct ResolutionShare {
  int side = 0;  // of a square, in pixels
  double share = 1;
};

class TrainingShapes {
 public:
  struct Config {
    std::vector<ResolutionShare> resolutions = {};  // one or more, rising
    bool aspect_buckets = false;                    // their tables exist (has_aspect_buckets)
    ResolutionRule rule = ResolutionRule::kLargest;
  };
  explicit TrainingShapes(Config config);

  size_t size() const { return shapes_.size(); }  // at most kMostShapes
  const AspectBucket& at(size_t bucket) const { return shapes_.at(bucket); }
  int side(size_t bucket) const { return config_.resolutions.at(level(bucket)).side; }
  size_t level(size_t bucket) const { return bucket / size_of_level_; }  // the index of its resolution
  const Config& config() const { return config_; }
  bool reads_keys() const;  // bucket_of() depends on the key

  // Of an image of a source, whose key is `key` (not read unless reads_keys()). It depends on nothing else, so a source
  // that grows keeps the shapes of its images.
  uint8_t bucket_of(int height, int width, const std::string& key = {}) const;

 private:
  Config config_;
  size_t size_of_level_;
  std::vector<AspectBucket> shapes_;  // of each resolution in turn
};

// One number is left for rows whose shape is not known (kUnknownBucket).
inline constexpr size_t kMostShapes = 255;
// So the largest number of resolutions is that of the tables of aspect buckets, and more than enough for squares.
inline constexpr size_t kMostResolutions = 6;

}  // namespace pixart::data
