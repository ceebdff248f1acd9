// The official multi-scale sizes: pictures are cut to the nearest of forty shapes of about the same area.
#pragma once
#include <string>
#include <vector>

#include "pixart/data/transform.h"

namespace pixart::data {

struct AspectBucket {
  std::string key;   // as the official tables spell it, e.g. "0.57"
  double ratio = 1;  // height / width that the bucket stands for; what PixArt-MS is told as aspect ratio
  int height = 0, width = 0;
};

// The official ASPECT_RATIO_256, _512 and _1024, in their order; of those, the ones that are drawn at
// inference
// (*_TEST). Throws UserError for another resolution.
const std::vector<AspectBucket>& aspect_buckets(int resolution);
std::vector<AspectBucket> inference_aspect_buckets(int resolution);
bool has_aspect_buckets(int resolution);

// The bucket with the nearest ratio; the first in the table's order on a tie (golden kind aspect_bucket).
size_t nearest_bucket(const std::vector<AspectBucket>& buckets, int height, int width);

// Cover resize, then centre crop.
Image resize_to_bucket(const formats::ReducedImage& picture, const AspectBucket& bucket,
                       Filter filter = Filter::kBicubic);

}  // namespace pixart::data
