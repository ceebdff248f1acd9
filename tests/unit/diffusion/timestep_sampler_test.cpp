#include "pixart/diffusion/timestep_sampler.h"

#include <gtest/gtest.h>

#include <cmath>

#include "pixart/base/error.h"

namespace pixart::diffusion {
namespace {

TEST(DrawTimestep, EndsOfTheUnitInterval) {
  const auto weights = uniform_timestep_weights(1000);
  EXPECT_EQ(draw_timestep(weights, 0.0).t, 0);
  EXPECT_EQ(draw_timestep(weights, std::nextafter(1.0, 0.0)).t, 999);
  EXPECT_FLOAT_EQ(draw_timestep(weights, 0.3).importance, 1.0f);
}

TEST(DrawTimestep, ABoundaryBelongsToTheNextTimestep) {
  const std::vector<double> weights = {1, 1, 2};
  EXPECT_EQ(draw_timestep(weights, 0.2499).t, 0);
  EXPECT_EQ(draw_timestep(weights, 0.25).t, 1);
  EXPECT_EQ(draw_timestep(weights, 0.5).t, 2);
  EXPECT_FLOAT_EQ(draw_timestep(weights, 0.5).importance, float(1 / (3 * 0.5)));
}

TEST(DrawTimestep, NeverGivesATimestepOfWeightZeroInFront) {
  const std::vector<double> weights = {0, 1};
  EXPECT_EQ(draw_timestep(weights, 0.0).t, 1);
}

TEST(DrawTimestep, BadInputIsOurBug) {
  const std::vector<double> none, zero = {0, 0}, one = {1};
  EXPECT_THROW(draw_timestep(none, 0), InternalError);
  EXPECT_THROW(draw_timestep(zero, 0), InternalError);
  EXPECT_THROW(draw_timestep(one, 1.0), InternalError);
}

TEST(SecondMoment, UsesTheLastLossesOnly) {
  const std::vector<int64_t> t = {0, 0, 0, 1, 1};
  const std::vector<double> loss = {100, 3, 3, 1, 1};
  const auto weights = second_moment_timestep_weights(2, 2, 0.0, t, loss);
  EXPECT_DOUBLE_EQ(weights[0], 0.75);
  EXPECT_DOUBLE_EQ(weights[1], 0.25);
}

TEST(SecondMoment, IsUniformUntilEveryTimestepIsFull) {
  const std::vector<int64_t> t = {0, 0, 1};
  const std::vector<double> loss = {3, 3, 1};
  EXPECT_EQ(second_moment_timestep_weights(2, 2, 0.001, t, loss), uniform_timestep_weights(2));
}

TEST(SecondMoment, LossesOfZeroStayUniform) {
  const std::vector<int64_t> t = {0, 1};
  const std::vector<double> loss = {0, 0};
  EXPECT_EQ(second_moment_timestep_weights(2, 1, 0.001, t, loss), uniform_timestep_weights(2));
}

TEST(LogitNormal, IsTheSigmoidOfANormalNumber) {
  EXPECT_EQ(logit_normal_timestep(0, 0, 1, 1000), 500);
  EXPECT_EQ(logit_normal_timestep(100, 0, 1, 1000), 999);
  EXPECT_EQ(logit_normal_timestep(-100, 0, 1, 1000), 0);
  EXPECT_EQ(logit_normal_timestep(2, 1, 0.5, 1000), int64_t(1000 / (1 + std::exp(-2.0))));
}

TEST(Stratified, EachPartHasItsOwnTimesteps) {
  EXPECT_EQ(stratified_timestep(0, 4, 0.0, 1000), 0);
  EXPECT_EQ(stratified_timestep(0, 4, 0.999, 1000), 249);
  EXPECT_EQ(stratified_timestep(3, 4, 0.0, 1000), 750);
  EXPECT_EQ(stratified_timestep(3, 4, std::nextafter(1.0, 0.0), 1000), 999);
  EXPECT_THROW(stratified_timestep(4, 4, 0.0, 1000), InternalError);
}

}  // namespace
}  // namespace pixart::diffusion
