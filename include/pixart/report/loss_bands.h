// Is my loss normal? Known losses of well-trained models, with their source.
// Few are known: neither the PixArt repositories nor the paper show a loss, so text stages have no band. A
// band is for a mean over some hundred steps; the losses of single steps vary more than the band is wide.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pixart::report {

// Losses are comparable only between runs that share all of these, and the noise schedule.
struct LossSetting {
  std::string_view objective;  // "class_conditional"
  std::string_view preset;     // of the transformer, "S/8"
  int64_t resolution = 0;      // of the images
  int64_t batch_size = 0;      // global
};

struct LossBand {
  LossSetting setting;
  int64_t first_step = 0, last_step = 0;  // both included, counted from 1
  double low = 0, high = 0;
  std::string_view source;
};

const std::vector<LossBand>& loss_bands();
std::vector<LossBand> loss_bands(const LossSetting& setting);  // of this setting, by rising steps

enum class LossPlace { kBelow, kWithin, kAbove };

struct LossVerdict {
  LossPlace place;
  LossBand band;
};

// Empty if no band is known or if the loss is not finite.
std::optional<LossVerdict> place_loss(const LossSetting& setting, int64_t step, double loss);

// "within the usual 0.16 to 0.18 (source)", "below ...", "above ...".
std::string describe(const LossVerdict& verdict);

}  // namespace pixart::report
