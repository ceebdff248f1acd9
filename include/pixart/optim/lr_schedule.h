// Learning-rate schedules (PixArt-alpha diffusion/utils/lr_scheduler.py), in float64.
#pragma once
#include <cstdint>
#include <string>

#include "pixart/base/rule.h"

namespace pixart::optim {

struct LrScheduleConfig {
  std::string schedule = "constant";
  int64_t warmup_steps = 1000;
  std::string batch_rule = "none";  // none | sqrt | linear: peak = lr * f(global batch / 256)
  double decay_from = 0.6;          // linear only: share of the steps after which the rate falls
  double final_share = 0.05;        // linear only: rate at the end, as a share of the peak
  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("schedule", s.schedule,
      "Shape after warm-up. linear keeps the peak until decay_from and then falls in a line to final_share.",
      one_of({"constant", "cosine", "cosine_decay_to_constant", "linear"}).needs_permission());
    v("warmup_steps", s.warmup_steps, "Steps over which the rate rises from zero.",
      not_negative().needs_permission());
    v("batch_rule", s.batch_rule,
      "Scales lr by the global batch over 256: sqrt (the released code's rule), linear, or none.",
      one_of({"none", "sqrt", "linear"}).needs_permission());
    v("decay_from", s.decay_from, "linear: share of the steps after which the rate falls.",
      in_range(0, 1).needs_permission());
    v("final_share", s.final_share, "linear: rate at the end, as a share of the peak.",
      in_range(0, 1).needs_permission());
  }
};

double peak_lr(const LrScheduleConfig& config, double base_lr, int64_t global_batch);

// The rate of the next step when `step` optimizer steps were taken; zero at step 0 with warm-up.
double learning_rate(const LrScheduleConfig& config, double base_lr, int64_t global_batch,
                     int64_t training_steps, int64_t step);

}  // namespace pixart::optim
