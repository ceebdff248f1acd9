// Image tokens that skip blocks in training, so that a sample costs less: keys of a stage. Samples and validation use
// all tokens in all blocks. No torch.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/rule.h"

namespace pixart::run {

inline constexpr double kLargestSkippedShare = 0.95;

// Token routing (TREAD, arXiv 2501.04765): the tokens join again, and the loss is of all of them.
struct RoutingConfig {
  double rate = 0;
  int64_t from = 2;
  std::optional<int64_t> to = {}, until = {};

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("rate", s.rate,
      "Share of the image tokens that skip blocks from to to - 1 in training, drawn anew for each sample; 0: none "
      "(published: 0.5).",
      in_range(0, kLargestSkippedShare).needs_permission("the next steps use it"));
    v("from", s.from, "First block that they skip, counted from 0 (published: 2).",
      in_range(0, kMostLayers).needs_permission("the next steps use it"));
    v("to", s.to, "Block before which they join again as they left (published: 24 of 28 blocks).",
      in_range(1, kMostLayers).needs_permission("the next steps use it"));
    v("until", s.until, "From this step on all tokens pass all blocks; unset: never.",
      in_range(0, kMostSteps).needs_permission("the next steps follow it"));
  }
};

// Masked training (MaskDiT, arXiv 2306.09305; deferred: arXiv 2407.15811): the loss is of the tokens that are left.
struct MaskingConfig {
  double rate = 0;
  int64_t after_blocks = 0;
  std::optional<int64_t> until = {};

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("rate", s.rate,
      "Share of the image tokens that are left out in training, drawn anew for each sample; the loss is of the "
      "others. 0: none (published: 0.5 and 0.75).",
      in_range(0, kLargestSkippedShare).needs_permission("the next steps use it"));
    v("after_blocks", s.after_blocks,
      "The first blocks that see all tokens, so that those that are left know of the others.",
      in_range(0, kMostLayers).needs_permission("the next steps use it"));
    v("until", s.until, "From this step on no token is left out; unset: never.",
      in_range(0, kMostSteps).needs_permission("the next steps follow it"));
  }
};

// What both have in common: a share of the image tokens skips the blocks from <= i < to.
struct SkippedTokens {
  double rate = 0;
  int64_t from = 0, to = 0;
  std::optional<int64_t> until = {};  // the first step without
  bool loss_of_kept = false;          // the loss is of the tokens that skip no block

  bool at_step(int64_t step) const { return rate > 0 && (!until || step < *until); }
  double share_of(int64_t steps) const;  // of the steps of a stage: those in which tokens skip blocks
};

// Of a model of `depth` blocks.
SkippedTokens skipped_tokens(const RoutingConfig& routing, const MaskingConfig& masking, int64_t depth);

struct SkippingModel {
  int64_t depth = 0;
  std::vector<int64_t> compressed = {};  // blocks with compressed keys
};
// What does not fit together in a stage of this number of steps: clauses that begin with the key.
std::vector<std::string> skipping_problems(const RoutingConfig& routing, const MaskingConfig& masking,
                                           int64_t steps, const SkippingModel& model);

}  // namespace pixart::run
