#include "pixart/report/paper_costs.h"

namespace pixart::report {

const std::vector<PaperCost>& paper_costs() {
  static const std::vector<PaperCost> table = {
      {.model = "RAPHAEL",
       .a100_days = 60000,
       .dollars = 3.08e6,
       .tonnes_co2 = 35,
       .parameters = 3.0e9,
       .images = 5.0e9,
       .fid = 6.61,
       .source = "days: arXiv 2310.00426, table 2; money: its introduction; CO2: read off its figure 1"},
      {.model = "DALL-E 2",
       .a100_days = 41667,
       .parameters = 6.5e9,
       .images = 650e6,
       .fid = 10.39,
       .source = "days: arXiv 2310.00426, table 2"},
      {.model = "Imagen",
       .a100_days = 7132,
       .parameters = 3.0e9,
       .images = 860e6,
       .fid = 7.27,
       .source = "days: arXiv 2310.00426, table 2"},
      {.model = "Stable Diffusion 1.5",
       .a100_days = 6250,
       .dollars = 320000,
       .parameters = 0.9e9,
       .images = 2.0e9,
       .fid = 9.62,
       .source = "days: arXiv 2310.00426, table 2; money: its introduction"},
      {.model = "PixArt-alpha",
       .a100_days = 753,
       .dollars = 28400,
       .tonnes_co2 = 0.4,
       .parameters = 0.6e9,
       .images = 25e6,
       .fid = 7.32,
       .source = "days: arXiv 2310.00426, table 2 (README and ICLR abstract: 675); money: its introduction "
                 "(README: $26,000); CO2: 1.2 % of RAPHAEL's"},
  };
  return table;
}

const std::vector<std::string_view>& paper_cost_notes() {
  static const std::vector<std::string_view> notes = {
      "PixArt-alpha's 753 A100 days are 1,656 V100 days over 2.2; feature extraction, captioning and the "
      "autoencoder are not included.",
      "Money and CO2 are shown only if the paper gives a figure. The money of the other models depends on "
      "the price of a GPU hour that their authors or the paper assumed, which differs from row to row.",
  };
  return notes;
}

}  // namespace pixart::report
