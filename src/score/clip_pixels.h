// What CLIP sees of an image.
#pragma once
#include <vector>

#include "pixart/formats/image_file.h"

namespace pixart::score {

// crop    OpenAI's transform: Pillow's bicubic resize of the shorter side, then the centre; half pixels round to
//         even (transformers' image processor rounds them down)
// square  cmmd-pytorch: the centre square, half pixels rounded down, then Pillow's bicubic resize
enum class ClipPixels { kCrop, kSquare };

Image clip_pixels(const Image& image, ClipPixels rule, int side);

// Planes [3, height, width] of (v / 255 - mean) / deviation, with the constants of all published models.
std::vector<float> clip_input(const Image& pixels);

}  // namespace pixart::score
