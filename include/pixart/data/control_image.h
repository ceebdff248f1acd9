// Control images, from which a ControlNet learns where things are.
#pragma once
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"
#include "pixart/formats/image_file.h"

namespace pixart::data {

// What a control image shows of an image. canny: its edges (Canny 1986, as OpenCV computes them of the gray image), white on
// black.
enum class ControlCondition { kNone, kCanny };
inline EnumWords<ControlCondition> enum_words(ControlCondition) {
  return {{"none", ControlCondition::kNone}, {"canny", ControlCondition::kCanny}};
}

struct ControlImage {
  ControlCondition condition = ControlCondition::kNone;
  double low = 100, high = 200;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("condition", s.condition,
      "What the control images show, which are made of the images themselves. canny: their edges; none: the stage has "
      "no control.",
      any());
    v("low", s.low, "canny: an edge ends where the gradient of the gray image is below this value.",
      in_range(0, 10000));
    v("high", s.high, "canny: an edge begins where the gradient is above this value.", in_range(0, 10000));
  }
  void validate(std::vector<std::string>& problems) const;
  bool is_on() const { return condition != ControlCondition::kNone; }
  std::string name() const;  // with all values, for names of files: "canny-100-200"
  friend bool operator==(const ControlImage&, const ControlImage&) = default;
};

// The control image, of the same size; without a condition the image itself.
Image control_image(const Image& image, const ControlImage& control);

}  // namespace pixart::data
