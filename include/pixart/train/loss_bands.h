// Is my loss normal? What is known of the losses of well-trained models, with its source.
//
// Little is: neither PixArt repository nor its paper shows a loss, so there is no band for text stages. A
// band is for a mean over some hundred steps; single steps scatter more than the band is wide.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pixart::train {

// Losses compare only between runs that have all of these in common, beside the noise schedule.
struct LossSetting {
  std::string_view objective;  // "class_conditional"
  std::string_view preset;     // of the transformer, "S/8"
  int64_t resolution = 0;      // of the pictures
  int64_t batch_size = 0;      // global
};

struct LossBand {
  LossSetting setting;
  int64_t first_step = 0, last_step = 0;  // both included, counted from 1
  double low = 0, high = 0;
  std::string_view source;
};

const std::vector<LossBand>& loss_bands();
std::vector<LossBand> loss_bands(const LossSetting& setting);  // its own, by rising steps

enum class LossPlace { kBelow, kWithin, kAbove };

struct LossVerdict {
  LossPlace place;
  LossBand band;
};

// Nothing where no band is known; also for a loss that is not a number, which needs no comparison.
std::optional<LossVerdict> place_loss(const LossSetting& setting, int64_t step, double loss);

// "within the usual 0.16 to 0.18 (source)", "below ...", "above ...".
std::string describe(const LossVerdict& verdict);

}  // namespace pixart::train
