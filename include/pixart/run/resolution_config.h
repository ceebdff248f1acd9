// Several resolutions in one stage (stages[].resolutions).
#pragma once
#include <cstdint>
#include <optional>

#include "pixart/base/rule.h"

namespace pixart::run {

// One of them.
struct ResolutionConfig {
  int64_t side = 0;
  double share = 1;
  std::optional<int64_t> micro_batch_size = {};

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("side", s.side, "Side of the square in pixels; aspect buckets have about its area.",
      in_range(1, kLargestSide).required());
    v("share", s.share,
      "resolution_rule: share: an image that fills several resolutions gets one in proportion to their shares.",
      positive_up_to(1e6));
    v("micro_batch_size", s.micro_batch_size,
      "Samples per forward and backward pass at this resolution. Unset: with micro_batch_size of the stage, as "
      "many as have no more tokens than that number at its resolution, but at least one; without it the whole "
      "batch.",
      in_range(1, kMostOfAStep)
          .needs_permission("the next steps add gradients in another order, which changes their last bits"));
  }
};

}  // namespace pixart::run
