#include "pixart/optim/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "pixart/base/error.h"

namespace pixart::optim {

namespace {

constexpr double kReferenceBatch = 256;      // the batch for which base rates are given
constexpr double kCosineDecayShare = 0.667;  // of the steps, in cosine_decay_to_constant

struct Shape {
  const LrScheduleConfig& config;
  double batch_ratio;
  int64_t training_steps, step;
};

double half_cosine(int64_t step, int64_t from, int64_t to) {
  return 0.5 *
         (1 + std::cos(std::numbers::pi * double(step - from) / double(std::max<int64_t>(1, to - from))));
}

double cosine(const Shape& s) { return half_cosine(s.step, s.config.warmup_steps, s.training_steps); }

// Ends at the base rate, which is the peak without the factor of the batch.
double cosine_decay_to_constant(const Shape& s) {
  const auto last = int64_t(kCosineDecayShare * double(s.training_steps));
  const double low = 1 / s.batch_ratio;
  if (s.step > last) return low;
  return half_cosine(s.step, s.config.warmup_steps, last) * (1 - low) + low;
}

double linear(const Shape& s) {
  const double from = s.config.decay_from * double(s.training_steps), to = double(s.training_steps);
  if (double(s.step) <= from) return 1;
  const double progress = std::min(1.0, (double(s.step) - from) / (to - from));
  return s.config.final_share + (1 - progress) * (1 - s.config.final_share);
}

double shape_of(const Shape& s) {
  switch (s.config.schedule) {
    case LrShape::kConstant:
      return 1;
    case LrShape::kCosine:
      return cosine(s);
    case LrShape::kCosineDecayToConstant:
      return cosine_decay_to_constant(s);
    case LrShape::kLinear:
      return linear(s);
  }
  PIXART_CHECK(false, "schedule {}", int(s.config.schedule));
}

double batch_ratio(const LrScheduleConfig& config, int64_t global_batch) {
  PIXART_CHECK(global_batch > 0, "a global batch of {}", global_batch);
  const double ratio = double(global_batch) / kReferenceBatch;
  switch (config.batch_rule) {
    case BatchRule::kNone:
      return 1;
    case BatchRule::kSqrt:
      return std::sqrt(ratio);
    case BatchRule::kLinear:
      return ratio;
  }
  PIXART_CHECK(false, "batch rule {}", int(config.batch_rule));
}

}  // namespace

double peak_lr(const LrScheduleConfig& config, double base_lr, int64_t global_batch) {
  return base_lr * batch_ratio(config, global_batch);
}

double learning_rate(const LrScheduleConfig& config, double base_lr, int64_t global_batch,
                     int64_t training_steps, int64_t step) {
  const double ratio = batch_ratio(config, global_batch), peak = base_lr * ratio;
  if (step < config.warmup_steps) return peak * double(step) / double(config.warmup_steps);
  return peak * shape_of({config, ratio, training_steps, step});
}

}  // namespace pixart::optim
