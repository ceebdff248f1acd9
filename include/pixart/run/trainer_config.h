// The keys of a stage that the Trainer uses.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"
#include "pixart/optim/lr_schedule.h"
#include "pixart/optim/optimizer.h"
#include "pixart/optim/power_ema.h"

namespace pixart::run {

// How losses and gradients are added up.
enum class Numerics {
  kDefault,  // micro-batches one after the other, ranks one after the other
  // Single samples, added in a fixed order: the same bits for every number of ranks that divides
  // exact_lanes().
  kExact,
};
inline EnumWords<Numerics> enum_words(Numerics) {
  return {{"default", Numerics::kDefault}, {"exact", Numerics::kExact}};
}

enum class Kernels {
  kFused,  // the project's own, where they run
  kPlain,  // LibTorch's operations
};
inline EnumWords<Kernels> enum_words(Kernels) {
  return {{"fused", Kernels::kFused}, {"plain", Kernels::kPlain}};
}

// Gradients are summed over the ranks in buckets of about this size.
inline constexpr int64_t kGradientBucketBytes = 32 << 20;

// Which steps are bad, and what follows. A bad step changes no weight.
struct BadStepConfig {
  bool roll_back = false;
  double spike_factor = 0;
  int64_t spike_window = 100;
  int64_t most_roll_backs = 3;

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("roll_back", s.roll_back,
      "After a bad step return to the newest checkpoint and leave out the samples of the step from there on. "
      "false: go on with the next step, ten times at most.",
      any().needs_permission("the next bad step follows it"));
    v("spike_factor", s.spike_factor,
      "A step is also bad if its loss or gradient norm is more than this factor times the median of the good "
      "steps before it; 0: only if one of the two is not finite.",
      in_range(0, 1e6).needs_permission("the next steps are judged by it"));
    v("spike_window", s.spike_window,
      "Number of good steps of that median; before there are as many, no step is a spike.",
      in_range(3, 10000).needs_permission("the next steps are judged by it"));
    v("most_roll_backs", s.most_roll_backs,
      "Roll-backs of the stage, over all starts; the next bad step ends the run with exit code 71.",
      in_range(0, 1e6).free());
  }
  void validate(std::vector<std::string>& problems) const;
};

struct TrainerConfig {
  int64_t steps = 0;         // of the whole stage; shapes the learning rate
  int64_t batch_size = 256;  // samples per optimizer step, over all ranks
  optim::OptimizerConfig optimizer;
  optim::LrScheduleConfig lr_schedule;
  double gradient_clip = 0.01;  // 0: no clipping
  double ema_decay = 0.9999;
  bool ema_warmup = false;  // min(ema_decay, (1 + n) / (10 + n))
  optim::PowerEmaConfig power_ema;
  BadStepConfig bad_steps;
  // Not keys of a stage:
  Numerics numerics = Numerics::kDefault;
  // Factors of the learning rate by parameter, for its equal parts (models/mup.h); parameters without an entry have 1.
  std::map<std::string, std::vector<double>> rates = {};
  int64_t max_skipped = 10;  // bad steps without roll_back, before training gives up

  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("steps", s.steps, "Optimizer steps.",
      in_range(1, kMostSteps)
          .required()
          .needs_permission("the stage ends at this step, which a linear schedule follows"));
    v("batch_size", s.batch_size, "Global batch: samples per optimizer step.",
      in_range(1, kMostOfAStep)
          .needs_permission(
              "the next steps use it; the order of samples goes on at step times batch_size, so some samples are left out or come twice"));
    v("optimizer", s.optimizer, "The optimizer.", any());
    v("lr_schedule", s.lr_schedule, "Learning rate over the steps.", any());
    v("gradient_clip", s.gradient_clip,
      "Largest global gradient norm; 0: no clipping. The released configs use 0.01.",
      in_range(0, 1e9).needs_permission("the next steps use it"));
    v("ema_decay", s.ema_decay, "Decay of the EMA of the weights.",
      in_range(0, 1).needs_permission("the next steps use it"));
    v("ema_warmup", s.ema_warmup,
      "Use min(ema_decay, (1+n)/(10+n)) at step n, so that short runs get a useful EMA too.",
      any().needs_permission("the next steps use it"));
    v("power_ema", s.power_ema, "EMAs of other lengths, to be chosen after training.", any());
    v("bad_steps", s.bad_steps, "Steps whose loss or gradient is not finite, and spikes.", any());
  }
};

}  // namespace pixart::run
