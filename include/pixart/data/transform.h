// Image -> training tensor.
#pragma once
#include <ATen/core/Tensor.h>

#include <utility>

#include "pixart/formats/image_file.h"

namespace pixart::data {

// Antialiased resize with Pillow's fixed-point arithmetic, rows first (golden kind image_transform):
// bicubic a = -0.5, or bilinear. Throws UserError where the result would have more than 2^28 pixels.
enum class Filter { kBilinear, kBicubic };
Image resize(const Image& image, int height, int width, Filter filter = Filter::kBicubic);

// The middle of a picture at least as large; half pixels round to even, as torchvision's CenterCrop.
Image center_crop(const Image& image, int height, int width);

// Shorter side to `size`, other side int(size * long / short).
Image resize_short_side(const Image& image, int size, Filter filter = Filter::kBicubic);

// The smallest picture of the same proportions that covers height x width: the binding side exact, the other
// int(side * target / own), as the official multi-scale loader does before its centre crop.
std::pair<int, int> cover_size(int own_height, int own_width, int height, int width);
Image resize_to_cover(const Image& image, int height, int width, Filter filter = Filter::kBicubic);

// resize_to_cover() of the whole picture, then center_crop() to height x width; only what is kept is
// computed.
Image cover_and_crop(const formats::ReducedImage& picture, int height, int width,
                     Filter filter = Filter::kBicubic);

// Shorter side that a picture decoded at less than its size (formats::decode_reduced) must keep if it is then
// resized to `size`: 2.5 times. Of 13 photos, 2250 x 1500 pixels, half size with this margin differs from the
// whole picture by 0.28/255 in the mean and 0.75/255 in the worst; with a margin of 2 the worst is 1.02/255.
int decode_side(int size);

void copy_planes(const Image& image, uint8_t* out);  // [3, H, W]
at::Tensor to_tensor(const Image& image);            // [3, H, W] float32, u / 127.5 - 1
Image to_image(
    const at::Tensor& tensor);  // [3, H, W] in [-1, 1] -> 8 bit, clamp(round(127.5 x + 127.5)); NaN is 0

// Images side by side on white, `columns` per row, `gap` pixels apart, each enlarged `scale` times (nearest).
Image make_grid(const std::vector<Image>& images, int columns, int gap = 2, int scale = 1);

// As make_grid, with one caption under each picture, drawn small, wrapped, and cut after a few lines.
// Characters outside ASCII show as '?'.
Image make_captioned_grid(const std::vector<Image>& images, const std::vector<std::string>& captions,
                          int columns, int scale = 1);

}  // namespace pixart::data
