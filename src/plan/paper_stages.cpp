#include "pixart/plan/paper_stages.h"

namespace pixart::plan {

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
  double other_length = 0;  // the same stage with another number of steps has the same rate
  for (const auto& stage : paper_stages()) {
    if (objective != stage.objective || resolution != stage.resolution || batch_size != stage.batch_size)
      continue;
    if (steps == stage.steps) return stage.images_per_second();
    other_length = stage.images_per_second();
  }
  return other_length;
}

}  // namespace pixart::plan
