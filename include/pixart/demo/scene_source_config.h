// The keys of a source of drawn scenes.
#pragma once
#include <cstdint>

#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"

namespace pixart::demo {

enum class SceneStyle { kPlain, kShaded };
inline EnumWords<SceneStyle> enum_words(SceneStyle) {
  return {{"plain", SceneStyle::kPlain}, {"shaded", SceneStyle::kShaded}};
}

// The part of a source's config that only type scenes reads.
struct SceneSourceConfig {
  int64_t count = 6000;
  SceneStyle style = SceneStyle::kPlain;
  int64_t seed = 0;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("count", s.count, "scenes: number of drawn scenes.", in_range(1, 1e8));
    v("style", s.style, "scenes: plain images, or shaded objects on graded backgrounds.", any());
    v("seed", s.seed, "scenes: seed of the generator.", not_negative());
  }
};

}  // namespace pixart::demo
