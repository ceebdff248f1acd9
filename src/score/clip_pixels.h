// What CLIP sees of an image.
#pragma once
#include <filesystem>
#include <vector>

#include "pixart/formats/image_file.h"

namespace pixart::score {

// crop    OpenAI's transform: Pillow's bicubic resize of the shorter side, then the centre; half pixels round
// to
//         even (transformers' image processor rounds them down)
// square  cmmd-pytorch: the centre square, half pixels rounded down, then Pillow's bicubic resize
enum class ClipPixels { kCrop, kSquare };

Image clip_pixels(const Image& image, ClipPixels rule, int side);

// The same crop as openai/CLIP's transform makes it of an image with alpha, which keeps the colours of
// transparent pixels: it resizes colours times alpha, divides them by alpha, and drops alpha. So fully
// transparent pixels are black, unless the image has the size already.
Image clip_crop(const formats::RgbaImage& image, int side);

// The crop of a file as openai/CLIP makes it; throws ImageError.
Image clip_crop(const std::filesystem::path& file, int side);

// Planes [3, height, width] of (v / 255 - mean) / deviation, with the constants of all published models.
std::vector<float> clip_input(const Image& pixels);

// The same of what HPSv2's package sees of an image: the longer side is `side`, bicubic with antialiasing and
// without rounding, and zeros (before the constants) fill the square. Half pixels of the shorter side round
// to even.
std::vector<float> hpsv2_input(const Image& image, int side);

}  // namespace pixart::score
