// Where the features of a stage's samples come from: keys of a stage. No torch.
#pragma once
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"

namespace pixart::run {

enum class Encoding { kStored, kOnTheFly };
inline EnumWords<Encoding> enum_words(Encoding) {
  return {{"stored", Encoding::kStored}, {"on_the_fly", Encoding::kOnTheFly}};
}

struct EncodeConfig {
  Encoding latents = Encoding::kStored, captions = Encoding::kStored;
  bool random_crop = false;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("latents", s.latents,
      "stored: the latents of all images are computed once and kept on the disk. on_the_fly: each step encodes "
      "its images, which takes no disk space, and time in each epoch.",
      any().needs_permission("the next steps read them so, which changes the last bits of losses"));
    v("captions", s.captions,
      "text: the same for the features of captions. on_the_fly keeps the text encoder in the memory of each "
      "rank's device.",
      any().needs_permission("the next steps read them so, which changes the last bits of losses"));
    v("random_crop", s.random_crop,
      "Cut images at a place that is drawn anew each time, not in the centre; needs latents: on_the_fly.",
      any().needs_permission("the next steps use it"));
  }
  void validate(std::vector<std::string>& problems) const;
};

}  // namespace pixart::run
