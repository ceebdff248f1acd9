// PixArt-alpha's own training, stage by stage. The cost of whole models is in report/paper_costs.h.
#pragma once
#include <string>
#include <vector>

namespace pixart::plan {

// A stage of PixArt-alpha's training, from table 4 of the paper. The paper prints no throughput, so
// `images_per_second` of one V100 is computed from steps x batch and V100 days.
struct PaperStage {
  const char* objective;  // as in run files
  int resolution;
  const char* images;
  double steps, batch_size, v100_days;
  double images_per_second() const { return steps * batch_size / (v100_days * 86400); }
};
const std::vector<PaperStage>& paper_stages();

// Images per second of one V100 in the stage with the same objective, resolution and size; 0 if there is
// none.
double paper_images_per_second(const std::string& objective, int resolution, double batch_size, double steps);

inline constexpr double kV100DaysPerA100Day = 2.2;  // footnote of the paper
inline constexpr double kPaperA100Days = 753;       // README and ICLR abstract: 675

}  // namespace pixart::plan
