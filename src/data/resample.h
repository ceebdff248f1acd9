// Pillow's resampling in its fixed-point arithmetic, first along rows, then along columns; computes a part of
// the result. The order of integer sums does not matter, so every implementation gives the same bytes.
#pragma once
#include "pixart/data/transform.h"

namespace pixart::data {

// A part of an image.
struct Window {
  int top = 0, left = 0, height = 0, width = 0;
};

// Size of an image in its own pixels; the last pixels of a reduced image may be partly outside.
struct Extent {
  double height = 0, width = 0;
};

// The window of the image after a resize to height x width.
Image resample(const Image& image, const Extent& extent, int height, int width, const Window& window,
               Filter filter);

}  // namespace pixart::data
