#include "pixart/optim/lr_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pixart/base/error.h"

namespace pixart::optim {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr double kBase = 1e-3;

double rate(const LrScheduleConfig& config, int64_t step) {
  return learning_rate(config, kBase, 256, 1000, step);
}

TEST(LrSchedule, LinearKeepsThePeakThenFallsInALine) {
  LrScheduleConfig config;
  config.schedule = LrShape::kLinear;
  config.warmup_steps = 10;
  EXPECT_EQ(rate(config, 0), 0);
  EXPECT_DOUBLE_EQ(rate(config, 5), kBase / 2);
  EXPECT_DOUBLE_EQ(rate(config, 10), kBase);
  EXPECT_DOUBLE_EQ(rate(config, 600), kBase);
  EXPECT_DOUBLE_EQ(rate(config, 800), kBase * (1 + config.final_share) / 2);
  EXPECT_DOUBLE_EQ(rate(config, 1000), kBase * config.final_share);
  EXPECT_DOUBLE_EQ(rate(config, 2000), kBase * config.final_share);
}

TEST(LrSchedule, LinearMayFallFromTheStartOrNotAtAll) {
  LrScheduleConfig config;
  config.schedule = LrShape::kLinear;
  config.warmup_steps = 0;
  config.decay_from = 0;
  config.final_share = 0;
  EXPECT_DOUBLE_EQ(rate(config, 0), kBase);
  EXPECT_DOUBLE_EQ(rate(config, 250), 0.75 * kBase);
  config.decay_from = 1;
  EXPECT_DOUBLE_EQ(rate(config, 1000), kBase);
}

TEST(LrSchedule, WarmUpStartsAtZeroAndMayBeAbsent) {
  LrScheduleConfig config;
  for (const auto& [schedule, shape] : enum_words(LrShape{})) {
    config.schedule = shape;
    config.warmup_steps = 100;
    EXPECT_EQ(rate(config, 0), 0) << schedule;
    EXPECT_DOUBLE_EQ(rate(config, 1), kBase / 100) << schedule;
    config.warmup_steps = 0;
    EXPECT_DOUBLE_EQ(rate(config, 0), kBase) << schedule;
  }
}

TEST(LrSchedule, WarmUpLongerThanTheTrainingStaysFinite) {
  LrScheduleConfig config;
  config.warmup_steps = 2000;
  for (const LrShape shape : {LrShape::kCosine, LrShape::kCosineDecayToConstant}) {
    config.schedule = shape;
    EXPECT_DOUBLE_EQ(rate(config, 1000), kBase / 2) << word_of(shape);
  }
}

TEST(LrSchedule, BatchRulesScaleThePeak) {
  LrScheduleConfig config;
  EXPECT_DOUBLE_EQ(peak_lr(config, kBase, 1024), kBase);
  config.batch_rule = BatchRule::kSqrt;
  EXPECT_DOUBLE_EQ(peak_lr(config, kBase, 1024), 2 * kBase);
  config.batch_rule = BatchRule::kLinear;
  EXPECT_DOUBLE_EQ(peak_lr(config, kBase, 64), kBase / 4);
}

template <class Function>
std::string error_of(const Function& function) {
  try {
    function();
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(LrSchedule, UnknownNamesListTheKnownOnes) {
  EXPECT_THAT(
      error_of([&] { enum_of_word<LrShape>("cosin", "schedule"); }),
      AllOf(HasSubstr("schedule 'cosin'"), HasSubstr("constant, cosine, cosine_decay_to_constant, linear"),
            HasSubstr("Did you mean 'cosine'?")));
  EXPECT_THAT(error_of([&] { enum_of_word<BatchRule>("log", "batch rule"); }),
              AllOf(HasSubstr("'log'"), HasSubstr("none, sqrt, linear")));
}

}  // namespace
}  // namespace pixart::optim
