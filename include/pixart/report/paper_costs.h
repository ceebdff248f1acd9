// What training text-to-image models cost according to the PixArt-alpha paper, for comparison with a run or
// a plan.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

namespace pixart::report {

struct PaperCost {
  std::string_view model;
  double a100_days = 0;
  std::optional<double> dollars = {}, tonnes_co2 = {};  // where the paper says
  double parameters = 0;                                // of the generator
  double images = 0;                                    // trained on
  double fid = 0;                                       // COCO FID-30K, zero-shot
  std::string_view source;                              // of days, money and CO2
};

// DALL-E 2, Imagen, SD 1.5, RAPHAEL and PixArt-alpha, from the most to the least days.
const std::vector<PaperCost>& paper_costs();

// What to know before comparing with the table, a sentence each.
const std::vector<std::string_view>& paper_cost_notes();

}  // namespace pixart::report
