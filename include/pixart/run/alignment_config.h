// Alignment with a teacher (REPA, arXiv 2410.06940; models/alignment.h): keys of a stage. No torch.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "pixart/base/rule.h"

namespace pixart::run {

struct AlignmentConfig {
  std::optional<std::filesystem::path> teacher = {};
  double weight = 0.5;
  int64_t block = 7;
  int64_t hidden_size = 2048;
  std::optional<int64_t> until = {};

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("teacher", s.teacher,
      "Folder of a CLIP model in any layout that pixart score reads, whose image transformer is the teacher. Unset: "
      "no alignment.",
      any().by_content("stages that have not begun use the other teacher"));
    v("weight", s.weight,
      "Weight of the alignment loss, which is added to the loss (published: 0.5); 0: none.",
      in_range(0, 1e6));
    v("block", s.block, "Block whose image tokens are aligned, counted from 0 (published: 7 of 28 blocks).",
      in_range(0, kMostLayers));
    v("hidden_size", s.hidden_size, "Width of the two inner layers of the projection (published: 2048).",
      in_range(1, kWidestLayer));
    v("until", s.until,
      "From this step on the loss is that of the stage alone: late in training the teacher holds the model back. "
      "Unset: never.",
      in_range(0, kMostSteps).needs_permission("the next steps follow it"));
  }
  bool is_on() const { return teacher && weight > 0; }
  bool at_step(int64_t step) const { return is_on() && (!until || step < *until); }
  double share_of(int64_t steps) const;  // of the steps of a stage: those with the loss

  // What does not fit a stage of this number of steps and a model of `depth` blocks: clauses that begin with the key.
  std::vector<std::string> problems(int64_t steps, int64_t depth) const;
};

}  // namespace pixart::run
