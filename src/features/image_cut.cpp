#include "image_cut.h"

namespace pixart::features {

ImageCutter::ImageCutter(const run::StageConfig& stage)
    : shapes(stage.shapes()), control(stage.encoded_control) {}

namespace {

// How large an image must be decoded. Where it has one of several resolutions, its header says which.
int side_of(const data::TrainingShapes& shapes, const data::Dataset& dataset, int64_t row) {
  if (shapes.config().resolutions.size() == 1) return shapes.side(0);
  const auto size = dataset.image_size(row);
  return shapes.side(bucket_of(shapes, dataset, row, size.height, size.width));
}

}  // namespace

CutImage ImageCutter::cut(const data::Dataset& dataset, int64_t row,
                          const std::optional<data::CropPlace>& place) const {
  const auto image = dataset.reduced_image(row, data::decode_side(side_of(shapes, dataset, row)));
  CutImage result{.image = {},
                  .height = image.full_height,
                  .width = image.full_width,
                  .bucket = bucket_of(shapes, dataset, row, image.full_height, image.full_width),
                  .checksum = image.checksum};
  dataset.on_sample(row, [&] {
    result.image =
        data::control_image(data::resize_to_bucket(image, shapes.at(result.bucket), place), control);
  });
  return result;
}

uint8_t bucket_of(const data::TrainingShapes& shapes, const data::Dataset& dataset, int64_t row, int height,
                  int width) {
  return shapes.bucket_of(height, width, shapes.reads_keys() ? dataset.key(row) : std::string());
}

}  // namespace pixart::features
