#include "image_cut.h"

namespace pixart::features {

ImageCutter::ImageCutter(const run::StageConfig& stage) : side(int(stage.resolution)) {
  if (stage.aspect_buckets) buckets = data::aspect_buckets(side);
}

CutImage ImageCutter::cut(const data::Dataset& dataset, int64_t row,
                          const std::optional<data::CropPlace>& place) const {
  const auto image = dataset.reduced_image(row, data::decode_side(side));
  CutImage result{.image = {},
                  .height = image.full_height,
                  .width = image.full_width,
                  .bucket = 0,
                  .checksum = image.checksum};
  if (!buckets.empty()) result.bucket = uint8_t(data::nearest_bucket(buckets, result.height, result.width));
  dataset.on_sample(row, [&] {
    result.image = buckets.empty() ? data::cover_and_crop(image, side, side, data::Filter::kBicubic, place)
                                   : data::resize_to_bucket(image, buckets[result.bucket], place);
  });
  return result;
}

}  // namespace pixart::features
