#include "pixart/diffusion/samplers.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pixart/base/error.h"
#include "pixart/base/names.h"

namespace pixart::diffusion {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr int64_t kTrainSteps = 1000;

Process process_of(Prediction prediction, bool zero_terminal_snr = false) {
  Process process;
  process.prediction = prediction;
  process.zero_terminal_snr = zero_terminal_snr;
  return process;
}

std::vector<Prediction> predictions() {
  return {Prediction::kEpsilon, Prediction::kXStart, Prediction::kV, Prediction::kFlow};
}

// The samplers that can draw with a model that predicts this.
std::vector<std::string> samplers_for(Prediction prediction) {
  std::vector<std::string> names;
  for (const auto& name : sampler_names())
    if (sampler_problem(name, prediction).empty()) names.push_back(name);
  return names;
}

// The exact prediction for data that is one fixed image; every sampler must end near that image.
struct OneImage {
  at::Tensor image = at::linspace(-0.8, 0.8, 2 * 3 * 3).view({1, 2, 3, 3});
  NoiseSchedule schedule = make_noise_schedule("linear", kTrainSteps);
  bool learn_sigma = false;
  Process process = {};

  at::Tensor prediction(const at::Tensor& x, double t) const {
    if (process.is_flow()) return (x - image) * (double(kTrainSteps) / t);
    if (process.prediction == Prediction::kXStart) return image.expand_as(x);
    const ContinuousSchedule continuous(process.zero_terminal_snr ? make_noise_schedule(process) : schedule);
    const double time = (t + 1) / double(kTrainSteps), alpha = continuous.alpha(time),
                 sigma = continuous.sigma(time);
    const at::Tensor noise = (x - alpha * image) / sigma;
    return process.prediction == Prediction::kV ? alpha * noise - sigma * image : noise;
  }

  Denoiser denoiser() const {
    return [this](const at::Tensor& x, const at::Tensor& t) {
      const at::Tensor answer = prediction(x, t[0].item<double>());
      return learn_sigma ? at::cat({answer, at::zeros_like(answer)}, 1) : answer;
    };
  }
};

at::Tensor start() { return at::cos(at::arange(2 * 2 * 3 * 3).to(at::kFloat) * 1.7f).view({2, 2, 3, 3}); }
at::Tensor noise(int64_t step) {
  return at::sin(at::arange(2 * 2 * 3 * 3).to(at::kFloat) * float(step + 1)).view({2, 2, 3, 3});
}

TEST(Samplers, EveryOneFindsTheOnlyImage) {
  for (const Prediction prediction : predictions()) {
    for (const auto& name : samplers_for(prediction)) {
      for (const bool learn_sigma : {false, true}) {
        OneImage world;
        world.learn_sigma = learn_sigma;
        world.process = process_of(prediction);
        const at::Tensor result =
            sample({name, 12}, world.denoiser(), world.process, learn_sigma, start(), noise);
        // The solvers stop at t = 1/1000, where a hundredth of noise is left.
        EXPECT_LT((result - world.image).abs().max().item<float>(), 0.05)
            << name << " " << word_of(prediction) << " " << learn_sigma;
      }
    }
  }
}

TEST(Samplers, FindTheOnlyImageFromPureNoise) {
  for (const Prediction prediction : {Prediction::kXStart, Prediction::kV}) {
    for (const auto& name : samplers_for(prediction)) {
      OneImage world;
      world.process = process_of(prediction, /*zero_terminal_snr=*/true);
      const at::Tensor result = sample({name, 12}, world.denoiser(), world.process, false, start(), noise);
      EXPECT_LT((result - world.image).abs().max().item<float>(), 0.05) << name << " " << word_of(prediction);
    }
  }
}

TEST(Samplers, WhatAModelPredictsDoesNotMatterForTheResult) {
  for (const auto& name : samplers_for(Prediction::kV)) {
    std::vector<at::Tensor> results;
    for (const Prediction prediction : {Prediction::kEpsilon, Prediction::kXStart, Prediction::kV}) {
      OneImage world;
      world.process = process_of(prediction);
      results.push_back(sample({name, 6}, world.denoiser(), world.process, false, start(), noise));
    }
    // x_0 from the noise is a difference of numbers up to 157 times as large.
    EXPECT_TRUE(at::allclose(results[1], results[0], 0, 2e-3)) << name;
    EXPECT_TRUE(at::allclose(results[2], results[0], 0, 2e-3)) << name;
  }
}

TEST(Samplers, SayWhichOnesFitTheModel) {
  EXPECT_THAT(sampler_problem("euler", Prediction::kV),
              AllOf(HasSubstr("sampler euler cannot draw with a model that predicts v"), HasSubstr("unipc")));
  EXPECT_THAT(sampler_problem("ddim", Prediction::kFlow), HasSubstr("use dpm_solver_pp, unipc, euler, heun"));
  EXPECT_EQ(sampler_problem("dpm_solver_pp", Prediction::kFlow), "");
  EXPECT_THROW(sampler_problem("dpm", Prediction::kFlow), UserError);
  EXPECT_THROW(sample({"heun", 3}, OneImage().denoiser(), {}, false, start(), noise), UserError);
}

TEST(Samplers, AnUntrainedVarianceIsNotUsed) {
  OneImage world;
  world.process = process_of(Prediction::kV);
  const at::Tensor without = sample({"iddpm", 6}, world.denoiser(), world.process, false, start(), noise);
  world.learn_sigma = true;  // a variance of (beta + posterior) / 2 in the channels
  const at::Tensor with = sample({"iddpm", 6}, world.denoiser(), world.process, true, start(), noise);
  EXPECT_TRUE(at::equal(with, without));
}

TEST(Samplers, AShiftSpendsMoreStepsInNoise) {
  const auto evaluated = [](double shift) {
    OneImage world;
    world.process = process_of(Prediction::kFlow);
    world.process.shift = shift;
    std::vector<double> sigmas;
    const Denoiser inner = world.denoiser();
    const Denoiser denoiser = [&](const at::Tensor& x, const at::Tensor& t) {
      sigmas.push_back(t[0].item<double>() / double(kTrainSteps));
      return inner(x, t);
    };
    sample({"euler", 5}, denoiser, world.process, false, start(), noise);
    return sigmas;
  };
  const auto plain = evaluated(1), moved = evaluated(3);
  ASSERT_EQ(plain.size(), 5u);
  EXPECT_EQ(plain.front(), 1);
  EXPECT_EQ(moved.front(), 1);
  for (size_t k = 1; k < plain.size(); ++k) EXPECT_GT(moved[k], plain[k]);
  EXPECT_DOUBLE_EQ(shifted(0.5, 3), 0.75);
}

// Each sampler once, with a model that it can draw with.
OneImage world_for(const std::string& name) {
  OneImage world;
  world.process = process_of(sampler_problem(name, Prediction::kEpsilon).empty() ? Prediction::kEpsilon
                                                                                 : Prediction::kFlow);
  return world;
}

TEST(Samplers, RepeatBitForBit) {
  for (const auto& name : sampler_names()) {
    const OneImage world = world_for(name);
    const auto once = [&] {
      return sample({name, 7}, world.denoiser(), world.process, false, start(), noise);
    };
    EXPECT_TRUE(at::equal(once(), once())) << name;
  }
}

TEST(Samplers, LeaveTheStartAloneAndReportEveryStep) {
  for (const auto& name : sampler_names()) {
    const OneImage world = world_for(name);
    const at::Tensor latent = start();
    std::vector<int64_t> steps;
    at::Tensor last;
    const auto result = sample({name, 5}, world.denoiser(), world.process, false, latent, noise,
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
    const OneImage world = world_for(name);
    const at::Tensor result = sample({name, 1}, world.denoiser(), world.process, false, start(), noise);
    EXPECT_TRUE(result.isfinite().all().item<bool>()) << name;
  }
}

std::string error_of(const SamplerConfig& options) {
  const bool is_known = contains(sampler_names(), options.sampler);
  const OneImage world = is_known ? world_for(options.sampler) : OneImage();
  try {
    sample(options, world.denoiser(), world.process, false, start(), noise);
  } catch (const UserError& error) {
    return error.what();
  }
  return "";
}

TEST(Samplers, UnknownNameListsTheKnownOnes) {
  EXPECT_THAT(error_of({"dpm_solver", 20}),
              AllOf(HasSubstr("'dpm_solver'"),
                    HasSubstr("dpm_solver_pp, iddpm, ddim, sa_solver, lcm, unipc, euler, heun")));
  EXPECT_THROW(guided_channels("dpm_solver", 4), UserError);
}

TEST(Samplers, RefuseAnImpossibleNumberOfSteps) {
  for (const auto& name : sampler_names()) EXPECT_THAT(error_of({name, 0}), HasSubstr("steps")) << name;
  for (const char* name : {"iddpm", "ddim", "lcm", "unipc"})
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
