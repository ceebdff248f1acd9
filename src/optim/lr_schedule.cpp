#include "pixart/optim/lr_schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "pixart/base/error.h"
#include "pixart/base/words.h"

namespace pixart::optim {

namespace {

constexpr double kReferenceBatch = 256;      // the batch that base rates are quoted for
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

double constant(const Shape&) { return 1; }

double cosine(const Shape& s) { return half_cosine(s.step, s.config.warmup_steps, s.training_steps); }

// Ends at the base rate, that is the peak without the batch's factor.
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

double no_factor(double) { return 1; }
double root(double ratio) { return std::sqrt(ratio); }
double proportional(double ratio) { return ratio; }

template <class Function>
struct Named {
  const char* name;
  Function* function;
};
constexpr Named<double(const Shape&)> kShapes[] = {{"constant", constant},
                                                   {"cosine", cosine},
                                                   {"cosine_decay_to_constant", cosine_decay_to_constant},
                                                   {"linear", linear}};
constexpr Named<double(double)> kBatchRules[] = {
    {"none", no_factor}, {"sqrt", root}, {"linear", proportional}};

template <class Function, size_t N>
Function* find(const char* what, const std::string& name, const Named<Function> (&table)[N]) {
  std::vector<std::string> known;
  for (const auto& entry : table) {
    if (name == entry.name) return entry.function;
    known.emplace_back(entry.name);
  }
  throw UserError(
      fmt::format("Unknown {} '{}'. Known: {}.{}", what, name, join(known, ", "), did_you_mean(name, known)));
}

double batch_ratio(const LrScheduleConfig& config, int64_t global_batch) {
  PIXART_CHECK(global_batch > 0, "a global batch of {}", global_batch);
  return find("batch rule", config.batch_rule, kBatchRules)(double(global_batch) / kReferenceBatch);
}

}  // namespace

double peak_lr(const LrScheduleConfig& config, double base_lr, int64_t global_batch) {
  return base_lr * batch_ratio(config, global_batch);
}

double learning_rate(const LrScheduleConfig& config, double base_lr, int64_t global_batch,
                     int64_t training_steps, int64_t step) {
  const auto shape = find("learning-rate schedule", config.schedule, kShapes);
  const double ratio = batch_ratio(config, global_batch), peak = base_lr * ratio;
  if (step < config.warmup_steps) return peak * double(step) / double(config.warmup_steps);
  return peak * shape({config, ratio, training_steps, step});
}

}  // namespace pixart::optim
