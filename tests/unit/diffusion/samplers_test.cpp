#include "pixart/diffusion/samplers.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pixart/base/error.h"

namespace pixart::diffusion {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const Process kProcess;
constexpr int64_t kTrainSteps = 1000;

// The exact noise prediction for data that is one fixed image; every sampler must end near that image.
struct OneImage {
  at::Tensor image = at::linspace(-0.8, 0.8, 2 * 3 * 3).view({1, 2, 3, 3});
  NoiseSchedule schedule = make_noise_schedule("linear", kTrainSteps);
  bool learn_sigma = false;

  Denoiser denoiser() const {
    return [this](const at::Tensor& x, const at::Tensor& t) {
      const ContinuousSchedule continuous(schedule);
      const double time = (t[0].item<double>() + 1) / double(kTrainSteps);
      const at::Tensor noise = (x - continuous.alpha(time) * image) / continuous.sigma(time);
      return learn_sigma ? at::cat({noise, at::zeros_like(noise)}, 1) : noise;
    };
  }
};

at::Tensor start() { return at::cos(at::arange(2 * 2 * 3 * 3).to(at::kFloat) * 1.7f).view({2, 2, 3, 3}); }
at::Tensor noise(int64_t step) {
  return at::sin(at::arange(2 * 2 * 3 * 3).to(at::kFloat) * float(step + 1)).view({2, 2, 3, 3});
}

TEST(Samplers, EveryOneFindsTheOnlyImage) {
  for (const auto& name : sampler_names()) {
    for (const bool learn_sigma : {false, true}) {
      OneImage world;
      world.learn_sigma = learn_sigma;
      const at::Tensor result = sample({name, 12}, world.denoiser(), kProcess, learn_sigma, start(), noise);
      // The solvers stop at t = 1/1000, where a hundredth of noise is left.
      EXPECT_LT((result - world.image).abs().max().item<float>(), 0.05) << name << " " << learn_sigma;
    }
  }
}

TEST(Samplers, RepeatBitForBit) {
  for (const auto& name : sampler_names()) {
    const OneImage world;
    const auto once = [&] { return sample({name, 7}, world.denoiser(), kProcess, false, start(), noise); };
    EXPECT_TRUE(at::equal(once(), once())) << name;
  }
}

TEST(Samplers, LeaveTheStartAloneAndReportEveryStep) {
  for (const auto& name : sampler_names()) {
    const OneImage world;
    const at::Tensor latent = start();
    std::vector<int64_t> steps;
    at::Tensor last;
    const auto result = sample({name, 5}, world.denoiser(), kProcess, false, latent, noise,
                               [&](int64_t step, const at::Tensor& x) {
                                 steps.push_back(step);
                                 last = x;
                               });
    EXPECT_TRUE(at::equal(latent, start())) << name;
    EXPECT_THAT(steps, ::testing::ElementsAre(1, 2, 3, 4, 5)) << name;
    EXPECT_TRUE(at::equal(last, result)) << name;
  }
}

TEST(Samplers, TakeASingleStep) {
  for (const auto& name : sampler_names()) {
    const OneImage world;
    const at::Tensor result = sample({name, 1}, world.denoiser(), kProcess, false, start(), noise);
    EXPECT_TRUE(result.isfinite().all().item<bool>()) << name;
  }
}

std::string error_of(const SamplerConfig& options) {
  const OneImage world;
  try {
    sample(options, world.denoiser(), kProcess, false, start(), noise);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Samplers, UnknownNameListsTheKnownOnes) {
  EXPECT_THAT(error_of({"dpm_solver", 20}),
              AllOf(HasSubstr("'dpm_solver'"), HasSubstr("dpm_solver_pp, iddpm, ddim, sa_solver, lcm")));
  EXPECT_THROW(guided_channels("dpm_solver", 4), UserError);
}

TEST(Samplers, RefuseAnImpossibleNumberOfSteps) {
  for (const auto& name : sampler_names()) EXPECT_THAT(error_of({name, 0}), HasSubstr("steps")) << name;
  for (const char* name : {"iddpm", "ddim", "lcm"})
    EXPECT_THAT(error_of({name, kTrainSteps + 1}), HasSubstr("steps")) << name;
}

TEST(Samplers, GuideTheChannelsOfTheOfficialCode) {
  EXPECT_EQ(guided_channels("iddpm", 4), 3);
  EXPECT_EQ(guided_channels("ddim", 4), 3);
  EXPECT_EQ(guided_channels("dpm_solver_pp", 4), 4);
  EXPECT_EQ(guided_channels("sa_solver", 16), 16);
  EXPECT_EQ(guided_channels("iddpm", 2), 2);
}

TEST(SaSolver, DrawsNoiseInTheMiddleOnly) {
  const OneImage world;
  std::vector<int64_t> asked;
  SaSolverOptions options;
  options.num_steps = 10;
  options.noise = [&](int64_t step) {
    asked.push_back(step);
    return noise(step);
  };
  sample_sa_solver(world.denoiser(), world.schedule, start(), options);
  // The steps to points 3 to 8, at t = 0.7003 to 0.2008; point 2 is at 0.8002.
  EXPECT_EQ(asked, (std::vector<int64_t>{2, 3, 4, 5, 6, 7}));
}

}  // namespace
}  // namespace pixart::diffusion
