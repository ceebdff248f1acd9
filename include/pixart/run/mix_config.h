// Several sources in one stage (stages[].mix).
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "pixart/base/rule.h"

namespace pixart::run {

// One of several sources that a stage mixes.
struct MixConfig {
  std::string source;
  double passes = 1;
  std::optional<int64_t> resolution = {};
  std::optional<double> prior_weight = {};

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("source", s.source, "Name of the data source.", required());
    v("passes", s.passes, "How often each of its samples occurs in an epoch, on average.",
      positive_up_to(10000));
    v("resolution", s.resolution,
      "All images of the source have this one of the stage's resolutions, whatever their size. A source may come "
      "once with each. Unset: resolution_rule says.",
      in_range(1, kLargestSide));
    v("prior_weight", s.prior_weight,
      "DreamBooth: these are images of the class, which keep the model from forgetting it. The loss is the mean over "
      "the other sources plus this weight times the mean over these. Unset: an ordinary source.",
      in_range(0, 1000).needs_permission("the next steps use it"));
  }
};

}  // namespace pixart::run
