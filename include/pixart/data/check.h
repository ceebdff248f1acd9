// `pixart data check`: opens every image of a source and reports what the source contains.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "pixart/data/openings.h"
#include "pixart/data/quarantine.h"
#include "pixart/data/training_shapes.h"

namespace pixart::data {

// Smallest, median and largest value of a set.
struct Spread {
  int64_t least = 0, median = 0, most = 0;
};
Spread spread_of(std::vector<int64_t> values);

struct CaptionKindReport {
  int64_t captions = 0, distinct = 0, cut = 0;
  Spread characters, tokens;      // tokens: only with a tokenizer
  std::vector<Opening> openings;  // that many of them share
};

// How many images have a shape of a stage with several.
struct BucketCount {
  std::string stage = {};
  int resolution = 0;
  AspectBucket shape = {};
  int64_t images = 0;
};

struct CheckReport {
  LedgerSummary ledger;
  uint64_t bytes = 0;  // size of the encoded images
  Spread width, height;
  std::map<std::string, CaptionKindReport> captions;
  std::vector<int64_t> class_sizes;  // number of samples of each class
  std::vector<std::pair<std::string, int64_t>>
      aspects;                       // key of the nearest official bucket -> images; table order
  std::vector<BucketCount> buckets;  // that have images; in the order of the stages and of their shapes
  std::vector<std::vector<std::string>> duplicates;  // keys of images with equal bytes, two or more each
  std::vector<std::string> thin;  // "key (width x height)" of images that a stage of kThinAt pixels rejects
  struct Example {
    std::string key, caption;
    int width = 0, height = 0;
  };
  std::vector<Example> examples;
};

inline constexpr int kThinAt = 1024;

// How a stage cuts the images.
struct CheckShape {
  std::string stage = {};
  TrainingShapes shapes;
};

struct CheckOptions {
  int64_t examples = 5;
  int64_t max_tokens = 120;                                      // longer captions are cut
  std::function<int64_t(const std::string&)> count_tokens = {};  // empty: tokens are not counted
  std::vector<CheckShape> shapes = {};                           // an image must fit all of them
  std::function<void(const Rejection&)> on_rejection = {};       // called for each, in the order of the rows
};

// Shows a progress bar and uses several threads. A bad sample is recorded in the ledger; it is not an error.
// Memory does not grow with the rows, except for `duplicates` and `thin`. Captions, and images, with the same
// hash of 8 bytes count as equal; two of ten million different ones have it in about one of 400,000 sources.
CheckReport check(const SourceConfig& config, const Dataset& dataset, const CheckOptions& options);

}  // namespace pixart::data
