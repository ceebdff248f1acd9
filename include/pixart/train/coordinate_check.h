// Whether activations change alike in models of all widths: the coordinate check of muP (Yang et al. 2022, appendix D).
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pixart/run/run_config.h"

namespace pixart::train {

inline constexpr int64_t kNarrowestChecked = 4, kWidestChecked = 8192, kMostChecked = 16;

struct CoordinateCheckOptions {
  std::vector<int64_t> widths = {};  // empty: four, each twice the one before, from about 64 on
  int64_t steps = 4, seeds = 3, batch_size = 8;
};

// Of one kind of layer, e.g. "blocks.*.attn.qkv": root mean squares of its outputs on the first batch, over samples, blocks
// and seeds, one for each width.
struct CoordinateRow {
  std::string layer;
  std::vector<double> before, change;  // at the first step, and of the difference after the last
  std::optional<double> slope;  // of log(change) over log(width); 0: flat; none: fewer than two widths change
};

struct CoordinateCheck {
  std::vector<int64_t> widths = {};
  std::vector<CoordinateRow> rows = {};  // in the order of the layers, then the model's output
};

// Trains small models of these widths, with the parametrization, optimizer and loss of the stage, on random latents and
// captions or labels; they have at most four blocks. Throws one UserError for all widths that the heads do not divide or that
// are outside the range above, for more than kMostChecked of them or fewer than two different ones; with kDevice, before any
// work, if the widest model needs more memory than is free; and with kNumerics if outputs are not finite.
CoordinateCheck coordinate_check(const run::RunConfig& run, const run::StageConfig& stage,
                                 const CoordinateCheckOptions& options);

}  // namespace pixart::train
