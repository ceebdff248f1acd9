// ControlNet in a text stage (stages[].control).
#pragma once
#include <cstdint>

#include "pixart/data/control_image.h"

namespace pixart::run {

struct ControlConfig : data::ControlImage {
  int64_t blocks = 13;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    ControlImage::fields(s, v);
    v("blocks", s.blocks,
      "Number of blocks that are copied, from the first on, fewer than the model has (PixArt-delta: 13 of 28).",
      in_range(1, kMostLayers));
  }
};

}  // namespace pixart::run
