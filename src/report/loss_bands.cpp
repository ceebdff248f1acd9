#include "pixart/report/loss_bands.h"

#include <fmt/format.h>

#include <cmath>

namespace pixart::report {

namespace {

bool same(const LossSetting& a, const LossSetting& b) {
  return a.objective == b.objective && a.preset == b.preset && a.resolution == b.resolution &&
         a.batch_size == b.batch_size;
}

}  // namespace

const std::vector<LossBand>& loss_bands() {
  // DiT's author on S/8 with the defaults of its train.py (ImageNet at 256, batch 256, learning rate 1e-4,
  // loss mse + vb as ours): "consistently around ~0.19 by like 5000 updates (and eventually it should
  // decrease to ~0.17 although it may take up to like 100K updates to get there)". The bands are these two
  // values with 0.01 on both sides (they are rounded, and curves are noisy), and the range between them.
  // There is no band after 400,000 updates, where the paper's comparisons end.
  static constexpr std::string_view kDit = "github.com/facebookresearch/DiT/issues/17, the author";
  static const LossSetting kS8{
      .objective = "class_conditional", .preset = "S/8", .resolution = 256, .batch_size = 256};
  static const std::vector<LossBand> bands = {
      {kS8, 5'000, 99'999, 0.16, 0.20, kDit},
      {kS8, 100'000, 400'000, 0.16, 0.18, kDit},
  };
  return bands;
}

std::vector<LossBand> loss_bands(const LossSetting& setting) {
  std::vector<LossBand> bands;
  for (const auto& band : loss_bands())
    if (same(band.setting, setting)) bands.push_back(band);
  return bands;
}

std::optional<LossVerdict> place_loss(const LossSetting& setting, int64_t step, double loss) {
  if (!std::isfinite(loss)) return {};
  for (const auto& band : loss_bands(setting)) {
    if (step < band.first_step || step > band.last_step) continue;
    const LossPlace place = loss < band.low    ? LossPlace::kBelow
                            : loss > band.high ? LossPlace::kAbove
                                               : LossPlace::kWithin;
    return LossVerdict{place, band};
  }
  return {};
}

std::string describe(const LossVerdict& verdict) {
  const char* place = verdict.place == LossPlace::kBelow    ? "below"
                      : verdict.place == LossPlace::kWithin ? "within"
                                                            : "above";
  return fmt::format("{} the usual {} to {} ({})", place, verdict.band.low, verdict.band.high,
                     verdict.band.source);
}

}  // namespace pixart::report
