// The official multi-scale sizes: images are cut to the nearest of forty shapes of about the same area.
#pragma once
#include <string>
#include <vector>

#include "pixart/data/transform.h"

namespace pixart::data {

struct AspectBucket {
  std::string key;   // as the official tables spell it, e.g. "0.57"
  double ratio = 1;  // height / width of the bucket; the aspect ratio that PixArt-MS is conditioned on
  int height = 0, width = 0;
  Filter filter = Filter::kBicubic;  // with which images are brought to this size
};

// aspect_buckets(): the official tables ASPECT_RATIO_256, _512, _1024 and, of PixArt-Sigma, _2048, in their
// order. Images for the last are resized with Lanczos, as in PixArt-Sigma's loader.
// inference_aspect_buckets(): the buckets of the table that the official code uses at inference (*_TEST).
// Both throw UserError for another resolution.
const std::vector<AspectBucket>& aspect_buckets(int resolution);
std::vector<AspectBucket> inference_aspect_buckets(int resolution);
bool has_aspect_buckets(int resolution);
std::string aspect_bucket_resolutions();  // "256, 512, 1024, 2048", for messages

// The bucket with the nearest ratio; the first in the table's order on a tie (golden kind aspect_bucket).
size_t nearest_bucket(const std::vector<AspectBucket>& buckets, int height, int width);

// Cover resize with the bucket's filter, then a crop: of the centre, or at `place`.
Image resize_to_bucket(const formats::ReducedImage& image, const AspectBucket& bucket,
                       const std::optional<CropPlace>& place = {});

}  // namespace pixart::data
