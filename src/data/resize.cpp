// Sizes of resized images, and crops. A crop after a resize computes only its window of the resized image.
#include <algorithm>
#include <cmath>

#include "pixart/base/error.h"
#include "pixart/data/transform.h"
#include "resample.h"

namespace pixart::data {

namespace {

constexpr int64_t kMostPixels = int64_t{1} << 28;  // of a resized image

// int(side * target / own), as the official loaders round.
int in_proportion(int side, int target, int own) {
  return int(std::min<int64_t>(int64_t(side) * target / own, 1 << 30));
}

void check_resize(int own_height, int own_width, int height, int width) {
  if (int64_t(height) * width <= kMostPixels && int64_t(own_height) * width <= kMostPixels) return;
  throw formats::ImageError(
      formats::ImageFault::kTooThin,
      fmt::format("an image of {} x {} pixels would become {} x {} pixels: it is too narrow", own_width,
                  own_height, width, height));
}

Image resize_window(const Image& image, const Extent& extent, int height, int width, const Window& window,
                    Filter filter) {
  PIXART_CHECK(height > 0 && width > 0 && image.height > 0 && image.width > 0);
  check_resize(image.height, image.width, height, width);
  return resample(image, extent, height, width, window, filter);
}

Window center_window(int own_height, int own_width, int height, int width) {
  PIXART_CHECK(height > 0 && width > 0 && height <= own_height && width <= own_width,
               "crop {} x {} of {} x {}", width, height, own_width, own_height);
  return {.top = int(std::nearbyint((own_height - height) / 2.0)),
          .left = int(std::nearbyint((own_width - width) / 2.0)),  // half to even
          .height = height,
          .width = width};
}

// The places 0, 1 ... of a crop of `side` are equally likely if `share` is uniform.
int crop_begin(int own_side, int side, double share) {
  const int places = own_side - side + 1;
  return std::min(int(share * places), places - 1);
}

Window window_at(const CropPlace& place, int own_height, int own_width, int height, int width) {
  PIXART_CHECK(height > 0 && width > 0 && height <= own_height && width <= own_width && place.top >= 0 &&
                   place.left >= 0,
               "crop {} x {} of {} x {}", width, height, own_width, own_height);
  return {.top = crop_begin(own_height, height, place.top),
          .left = crop_begin(own_width, width, place.left),
          .height = height,
          .width = width};
}

Extent extent_of(const Image& image) { return {double(image.height), double(image.width)}; }

}  // namespace

Image resize(const Image& image, int height, int width, Filter filter) {
  return resize_window(image, extent_of(image), height, width, {.height = height, .width = width}, filter);
}

Image center_crop(const Image& image, int height, int width) {
  const auto [top, left, rows, columns] = center_window(image.height, image.width, height, width);
  Image result(rows, columns);
  for (int y = 0; y < rows; ++y) std::copy_n(image.at(top + y, left), size_t(columns) * 3, result.at(y, 0));
  return result;
}

Image resize_short_side(const Image& image, int size, Filter filter) {
  PIXART_CHECK(image.height > 0 && image.width > 0);
  if (image.height <= image.width)
    return resize(image, size, in_proportion(image.width, size, image.height), filter);
  return resize(image, in_proportion(image.height, size, image.width), size, filter);
}

std::pair<int, int> cover_size(int own_height, int own_width, int height, int width) {
  PIXART_CHECK(own_height > 0 && own_width > 0);
  const bool height_binds = int64_t(height) * own_width > int64_t(width) * own_height;
  if (height_binds) return {height, in_proportion(own_width, height, own_height)};
  return {in_proportion(own_height, width, own_width), width};
}

void check_cover(int own_height, int own_width, int height, int width) {
  const auto [cover_height, cover_width] = cover_size(own_height, own_width, height, width);
  check_resize(own_height, own_width, cover_height, cover_width);
}

Image resize_to_cover(const Image& image, int height, int width, Filter filter) {
  const auto [cover_height, cover_width] = cover_size(image.height, image.width, height, width);
  return resize(image, cover_height, cover_width, filter);
}

Image cover_and_crop(const formats::ReducedImage& image, int height, int width, Filter filter,
                     const std::optional<CropPlace>& place) {
  // Uses the full size, so that a partly covered last pixel does not move the crop.
  const auto [cover_height, cover_width] = cover_size(image.full_height, image.full_width, height, width);
  const Extent extent = {double(image.full_height) / image.reduction,
                         double(image.full_width) / image.reduction};
  const Window window = place ? window_at(*place, cover_height, cover_width, height, width)
                              : center_window(cover_height, cover_width, height, width);
  return resize_window(image.image, extent, cover_height, cover_width, window, filter);
}

int decode_side(int size) { return size * 5 / 2; }

}  // namespace pixart::data
