// Converts images to training tensors and back.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>
#include <vector>

#include "pixart/formats/image_file.h"

namespace pixart::data {

// Resizes with antialiasing in the fixed-point arithmetic of Pillow up to 12 (findings/README.md), rows first
// (golden kind image_transform): bicubic with a = -0.5, bilinear, or Lanczos with three lobes. Throws
// ImageError(kTooThin) if the result would have more than 2^28 pixels.
enum class Filter { kBilinear, kBicubic, kLanczos };
Image resize(const Image& image, int height, int width, Filter filter = Filter::kBicubic);

// The same filters without rounding, as Pillow resizes images of floats (mode F), rows first: planes
// [3, height, width] of values that may be outside 0..255. The image must not be too thin for resize().
std::vector<float> resize_unrounded(const Image& image, int height, int width, Filter filter);

// Crops the centre of an image that is at least as large; half pixels round to even, as in torchvision's
// CenterCrop.
Image center_crop(const Image& image, int height, int width);

// Resizes the shorter side to `size` and the longer one to int(size * long / short).
Image resize_short_side(const Image& image, int size, Filter filter = Filter::kBicubic);

// The size of the smallest image of the same proportions that covers height x width: one side is exact, the
// other is int(side * target / own), as in the official multi-scale loader before its centre crop.
std::pair<int, int> cover_size(int own_height, int own_width, int height, int width);
Image resize_to_cover(const Image& image, int height, int width, Filter filter = Filter::kBicubic);

// Throws ImageError(kTooThin) if an image of this size is so long and narrow that resize_to_cover() refuses
// it.
void check_cover(int own_height, int own_width, int height, int width);

// Where a crop begins, as a share of the rows and columns that are left over: 0 is the first place, 1 (which is
// not reached) the end of the last one.
struct CropPlace {
  double top = 0, left = 0;
};

// Gives the same as resize_to_cover() of the whole image, then center_crop() to height x width, but computes
// only the pixels that are kept. With `place` the crop is there, and not in the centre.
Image cover_and_crop(const formats::ReducedImage& image, int height, int width,
                     Filter filter = Filter::kBicubic, const std::optional<CropPlace>& place = {});

// The least shorter side at which an image may be decoded (formats::decode_reduced) that is then resized to
// `size`: 2.5 times `size`. For 13 photos of 2250 x 1500 pixels, decoding at half size with this margin
// changes the result by 0.28/255 on average and by 0.75/255 for the worst photo; with a margin of 2 the worst
// is 1.02/255.
int decode_side(int size);

void copy_planes(const Image& image, uint8_t* out);  // [3, H, W]
at::Tensor to_tensor(const Image& image);            // [3, H, W] float32, u / 127.5 - 1
Image to_image(
    const at::Tensor& tensor);  // [3, H, W] in [-1, 1] -> 8 bit, clamp(round(127.5 x + 127.5)); NaN is 0

// Draws images side by side on white, `columns` per row, `gap` pixels apart, each enlarged `scale` times
// (nearest neighbour).
Image make_grid(const std::vector<Image>& images, int columns, int gap = 2, int scale = 1);

// Like make_grid(), with a caption below each image: small, wrapped, and cut after a few lines. Characters
// outside ASCII are drawn as '?'.
Image make_captioned_grid(const std::vector<Image>& images, const std::vector<std::string>& captions,
                          int columns, int scale = 1);

}  // namespace pixart::data
