#include "pixart/train/paper_costs.h"

namespace pixart::train {

const std::vector<PaperCost>& paper_costs() {
  // Table 2 of arXiv 2310.00426; dollars from its abstract and figure 1.
  static const std::vector<PaperCost> table = {
      {"DALL-E 2", 6.5, 650, 10.39, 41667, 0, "arXiv 2310.00426, table 2"},
      {"Stable Diffusion 1.5", 0.9, 2000, 9.62, 6250, 320000, "arXiv 2310.00426, table 2 and abstract"},
      {"Imagen", 3.0, 860, 7.27, 7132, 0, "arXiv 2310.00426, table 2"},
      {"RAPHAEL", 3.0, 5000, 6.61, 60000, 3080000, "arXiv 2310.00426, table 2 and figure 1"},
      {"PixArt-alpha", 0.6, 25, 7.32, kPaperA100Days, kPaperDollars,
       "arXiv 2310.00426, table 2; 675 days and 26,000 dollars in the ICLR abstract"},
  };
  return table;
}

const std::vector<PaperStage>& paper_stages() {
  // Table 4 of arXiv 2310.00426: steps, batch per GPU x GPUs, V100 days.
  static const std::vector<PaperStage> table = {
      {"class_conditional", 256, "1 M ImageNet", 300e3, 128 * 8, 88},
      {"text_conditional", 256, "10 M SAM", 150e3, 178 * 64, 672},
      {"text_conditional", 256, "14 M of high quality", 90e3, 178 * 64, 416},
      {"text_conditional", 512, "14 M of high quality", 100e3, 40 * 64, 320},
      {"text_conditional", 1024, "14 M of high quality", 16e3, 12 * 32, 160},
  };
  return table;
}

double paper_images_per_second(const std::string& objective, int resolution, double batch_size,
                               double steps) {
  double other_length = 0;  // the same work for another number of steps runs at the same rate
  for (const auto& stage : paper_stages()) {
    if (objective != stage.objective || resolution != stage.resolution || batch_size != stage.batch_size)
      continue;
    if (steps == stage.steps) return stage.images_per_second();
    other_length = stage.images_per_second();
  }
  return other_length;
}

}  // namespace pixart::train
