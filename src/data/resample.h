// Pillow's resampling in its fixed-point arithmetic, along rows first and then along columns, of a part of
// the result. Integer sums have no order, so every way to add them up gives the same bytes.
#pragma once
#include "pixart/data/transform.h"

namespace pixart::data {

// A part of a picture.
struct Window {
  int top = 0, left = 0, height = 0, width = 0;
};

// Size of a picture in its own pixels; the last ones of a reduced picture may lie partly outside.
struct Extent {
  double height = 0, width = 0;
};

// What lies in the window if the picture is resized to height x width.
Image resample(const Image& image, const Extent& extent, int height, int width, const Window& window,
               Filter filter);

}  // namespace pixart::data
