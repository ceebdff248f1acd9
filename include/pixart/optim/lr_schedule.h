// Learning-rate schedules (PixArt-alpha diffusion/utils/lr_scheduler.py), in float64.
#pragma once
#include <cstdint>
#include <string>

#include "pixart/base/enum_words.h"
#include "pixart/base/rule.h"

namespace pixart::optim {

enum class LrShape { kConstant, kCosine, kCosineDecayToConstant, kLinear };
inline EnumWords<LrShape> enum_words(LrShape) {
  return {{"constant", LrShape::kConstant},
          {"cosine", LrShape::kCosine},
          {"cosine_decay_to_constant", LrShape::kCosineDecayToConstant},
          {"linear", LrShape::kLinear}};
}

// How the global batch scales the peak: lr times a function of the batch over 256.
enum class BatchRule { kNone, kSqrt, kLinear };
inline EnumWords<BatchRule> enum_words(BatchRule) {
  return {{"none", BatchRule::kNone}, {"sqrt", BatchRule::kSqrt}, {"linear", BatchRule::kLinear}};
}

struct LrScheduleConfig {
  LrShape schedule = LrShape::kConstant;
  int64_t warmup_steps = 1000;
  BatchRule batch_rule = BatchRule::kNone;
  double decay_from = 0.6;    // linear only: share of the steps after which the rate falls
  double final_share = 0.05;  // linear only: rate at the end, as a share of the peak
  template <class Self, class Visitor>
  static void fields(Self& s, Visitor&& v) {
    v("schedule", s.schedule,
      "Shape after warm-up. linear keeps the peak until decay_from and then falls linearly to final_share.",
      any().needs_permission("the next steps follow the new schedule"));
    v("warmup_steps", s.warmup_steps, "Steps over which the rate rises from zero.",
      in_range(0, kMostSteps).needs_permission("the next steps follow the new schedule"));
    v("batch_rule", s.batch_rule,
      "Scales lr by the global batch over 256: sqrt (the released code's rule), linear, or none.",
      any().needs_permission("the next steps use the new rate"));
    v("decay_from", s.decay_from, "linear: share of the steps after which the rate falls.",
      in_range(0, 1).needs_permission("the next steps follow the new schedule"));
    v("final_share", s.final_share, "linear: rate at the end, as a share of the peak.",
      in_range(0, 1).needs_permission("the next steps follow the new schedule"));
  }
};

double peak_lr(const LrScheduleConfig& config, double base_lr, int64_t global_batch);

// The rate of the next step after `step` optimizer steps; zero at step 0 with warm-up.
double learning_rate(const LrScheduleConfig& config, double base_lr, int64_t global_batch,
                     int64_t training_steps, int64_t step);

}  // namespace pixart::optim
