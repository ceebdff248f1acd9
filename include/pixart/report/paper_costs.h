// The training costs of text-to-image models according to the PixArt-alpha paper, for comparison with a run
// or a plan.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

namespace pixart::report {

struct PaperCost {
  std::string_view model;
  double a100_days = 0;
  std::optional<double> dollars = {}, tonnes_co2 = {};  // if the paper gives them
  double parameters = 0;                                // parameters of the generator
  double images = 0;                                    // number of training images
  double fid = 0;                                       // COCO FID-30K, zero-shot
  std::string_view source;                              // source of days, money and CO2
};

// DALL-E 2, Imagen, SD 1.5, RAPHAEL and PixArt-alpha, in descending order of days.
const std::vector<PaperCost>& paper_costs();

// Notes on comparisons with the table, one sentence each.
const std::vector<std::string_view>& paper_cost_notes();

}  // namespace pixart::report
