// What the papers say their models cost; the only place where these figures stand.
#pragma once
#include <string>
#include <vector>

namespace pixart::train {

struct PaperCost {
  const char* model;
  double parameters_billion;
  double images_million;
  double coco_fid;       // zero-shot, 30,000 captions
  double a100_gpu_days;  // as the PixArt-alpha paper counts them
  double dollars;        // 0: not published
  const char* source;
};
const std::vector<PaperCost>& paper_costs();

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
inline constexpr double kPaperDollars = 28400;      // README and ICLR abstract: 26,000
inline constexpr double kPaperA100Days = 753;       // README and ICLR abstract: 675

}  // namespace pixart::train
