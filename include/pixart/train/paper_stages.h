// PixArt-alpha's own training, stage by stage. What whole models cost stands in report/paper_costs.h.
#pragma once
#include <string>
#include <vector>

namespace pixart::train {

// A stage of PixArt-alpha's training as table 4 of the paper has it. `images_per_second` of one V100 follows
// from steps x batch and V100 days: the paper prints no throughput.
struct PaperStage {
  const char* objective;  // as in run files
  int resolution;
  const char* images;
  double steps, batch_size, v100_days;
  double images_per_second() const { return steps * batch_size / (v100_days * 86400); }
};
const std::vector<PaperStage>& paper_stages();

// The stage with the same objective, resolution and size; images per second of one V100, 0 if it has none.
double paper_images_per_second(const std::string& objective, int resolution, double batch_size, double steps);

inline constexpr double kV100DaysPerA100Day = 2.2;  // footnote of the paper
inline constexpr double kPaperA100Days = 753;       // README and ICLR abstract: 675

}  // namespace pixart::train
