#include "pixart/diffusion/noise_schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "pixart/base/error.h"

namespace pixart::diffusion {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string error_of(const std::string& name, int64_t steps, const std::string& respacing) {
  try {
    make_noise_schedule(name, steps, respacing);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(NoiseSchedule, LinearHasThePublishedEnds) {
  const auto schedule = make_noise_schedule("linear", 1000);
  EXPECT_EQ(schedule.num_steps(), 1000);
  EXPECT_NEAR(schedule.betas.front(), 1e-4, 1e-14);
  EXPECT_NEAR(schedule.betas.back(), 0.02, 1e-12);
  EXPECT_NEAR(schedule.alphas_cumprod.back(), 4.036e-5, 1e-8);
}

TEST(NoiseSchedule, SectionsKeepTheirOwnCounts) {
  // 10 steps in sections of 4, 3, 3.
  EXPECT_THAT(make_noise_schedule("squaredcos_cap_v2", 10, "2,1,3").timestep_map,
              ElementsAre(0, 3, 4, 7, 8, 9));
}

TEST(NoiseSchedule, DdimTakesTheSmallestWholeStride) {
  EXPECT_THAT(make_noise_schedule("squaredcos_cap_v2", 10, "ddim5").timestep_map, ElementsAre(0, 2, 4, 6, 8));
  EXPECT_THAT(make_noise_schedule("squaredcos_cap_v2", 10, "ddim1").timestep_map, ElementsAre(0));
}

TEST(NoiseSchedule, OneKeptStepHasFiniteTables) {
  const auto schedule = make_noise_schedule("linear", 1000, "1");
  ASSERT_EQ(schedule.num_steps(), 1);
  EXPECT_TRUE(std::isfinite(schedule.posterior_log_variance_clipped[0]));
  EXPECT_TRUE(std::isfinite(schedule.fixed_large_log_variance[0]));
}

TEST(NoiseSchedule, UnknownNameListsTheKnownOnes) {
  EXPECT_THAT(error_of("linea", 1000, ""),
              AllOf(HasSubstr("'linea'"), HasSubstr("linear"), HasSubstr("squaredcos_cap_v2")));
}

TEST(NoiseSchedule, ImpossibleRespacingIsRefused) {
  EXPECT_THAT(error_of("linear", 1000, "1001"), HasSubstr("1001 steps of a section that has 1000"));
  EXPECT_THAT(error_of("linear", 1000, "ddim999"),
              HasSubstr("no whole stride leaves exactly 999 of 1000 steps"));
  for (const char* respacing :
       {"ddim", "ddim0", "0", "-5", "10,", ",10", "10,,10", "ten", "10 ", "1.5", "99999999999999999999"}) {
    EXPECT_THAT(error_of("linear", 1000, respacing), HasSubstr("is not a number of steps")) << respacing;
  }
}

TEST(NoiseSchedule, TooFewStepsAreRefused) {
  EXPECT_THAT(error_of("linear", 20, ""), HasSubstr("beta of 1 or more"));
  EXPECT_THAT(error_of("linear", 0, ""), HasSubstr("at least 1"));
  EXPECT_EQ(error_of("linear", 21, ""), "");
}

TEST(ContinuousSchedule, MeetsTheDiscreteTables) {
  const auto schedule = make_noise_schedule("linear", 1000);
  const ContinuousSchedule continuous(schedule);
  for (const size_t i : {size_t(0), size_t(1), size_t(499), size_t(998), size_t(999)}) {
    const double t = double(i + 1) / 1000;
    EXPECT_NEAR(continuous.alpha(t), schedule.sqrt_alphas_cumprod[i], 1e-12) << i;
    EXPECT_NEAR(continuous.sigma(t), schedule.sqrt_one_minus_alphas_cumprod[i], 1e-12) << i;
    EXPECT_NEAR(continuous.model_t(t), double(i), 1e-9) << i;
  }
}

TEST(ContinuousSchedule, NeedsTheWholeProcess) {
  EXPECT_THROW(ContinuousSchedule(make_noise_schedule("linear", 1000, "20")), InternalError);
}

}  // namespace
}  // namespace pixart::diffusion
