// Image -> training tensor.
#pragma once
#include <ATen/core/Tensor.h>

#include "pixart/formats/image_file.h"

namespace pixart::data {

// Antialiased resize with Pillow's fixed-point arithmetic, rows first (golden kind image_transform):
// bicubic a = -0.5, or bilinear.
enum class Filter { kBilinear, kBicubic };
Image resize(const Image& image, int height, int width, Filter filter = Filter::kBicubic);

// Rounds half to even, as torchvision's CenterCrop.
Image center_crop(const Image& image, int height, int width);

// Shorter side to `size`, other side int(size * long / short).
Image resize_short_side(const Image& image, int size, Filter filter = Filter::kBicubic);

// Shorter side to `size` (other side int(size * long / short)), then centre crop (torchvision rounding) to size x size.
Image resize_and_crop(const Image& image, int size, Filter filter = Filter::kBicubic);

at::Tensor to_tensor(const Image& image);        // [3, H, W] float32, u / 127.5 - 1
Image to_image(const at::Tensor& tensor);        // [3, H, W] in [-1, 1] -> 8 bit, clamp(127.5 x + 127.5 rounded)

// Images side by side, `columns` per row, with `gap` white pixels, each enlarged `scale` times (nearest).
Image make_grid(const std::vector<Image>& images, int columns, int gap = 2, int scale = 1);

// As make_grid, with one caption under each picture, drawn small and wrapped.
Image make_captioned_grid(const std::vector<Image>& images, const std::vector<std::string>& captions, int columns, int scale = 1);

}  // namespace pixart::data
