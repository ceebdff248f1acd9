#include "pixart/optim/optimizer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "pixart/base/error.h"

namespace pixart::optim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::vector<std::string> problems_of(const OptimizerConfig& config) {
  std::vector<std::string> problems;
  config.validate(problems);
  return problems;
}

TEST(OptimizerConfig, UnsetKeysHaveThePublishedValues) {
  const auto adamw = resolved({});
  EXPECT_THAT(adamw.betas, ElementsAre(0.9, 0.999));
  EXPECT_EQ(adamw.eps, 1e-10);
  EXPECT_EQ(adamw.weight_decay, 0.03);
  EXPECT_FALSE(adamw.residual_eps.has_value());
  EXPECT_FALSE(adamw.clip_threshold.has_value());
  const auto came = resolved({.name = OptimizerName::kCame});
  EXPECT_THAT(came.betas, ElementsAre(0.9, 0.999, 0.9999));
  EXPECT_EQ(came.eps, 1e-30);
  EXPECT_EQ(came.residual_eps, 1e-16);
  EXPECT_EQ(came.clip_threshold, 1.0);
  EXPECT_EQ(came.weight_decay, 0.0);
  const auto muon = resolved({.name = OptimizerName::kMuon});
  EXPECT_THAT(muon.betas, ElementsAre(0.95, 0.9, 0.999));
  EXPECT_EQ(muon.weight_decay, 0.1);
  EXPECT_TRUE(problems_of(muon).empty());
  EXPECT_EQ(resolved({.eps = 1e-8}).eps, 1e-8);
  EXPECT_TRUE(problems_of(adamw).empty());
  EXPECT_TRUE(problems_of(came).empty());
}

TEST(OptimizerConfig, KeysWithoutEffectAreRefused) {
  EXPECT_THAT(problems_of({.betas = {0.9, 0.99, 0.999}}), ElementsAre(HasSubstr("adamw takes 2")));
  EXPECT_THAT(problems_of({.name = OptimizerName::kCame, .betas = {0.9, 0.99}}),
              ElementsAre(HasSubstr("came takes 3")));
  EXPECT_THAT(problems_of({.name = OptimizerName::kMuon, .betas = {0.9, 0.99}, .clip_threshold = 1}),
              ElementsAre(HasSubstr("muon takes 3"), HasSubstr("clip_threshold has an effect")));
  EXPECT_THAT(
      problems_of({.residual_eps = 1e-16, .clip_threshold = 1}),
      ElementsAre(HasSubstr("residual_eps has an effect"), HasSubstr("clip_threshold has an effect")));
  EXPECT_THAT(problems_of({.name = OptimizerName::kCame, .no_decay = {"*.bias"}}),
              ElementsAre(HasSubstr("no_decay")));
  EXPECT_THAT(problems_of({.weight_decay = 0, .no_decay = {"*.bias"}}), ElementsAre(HasSubstr("no_decay")));
  EXPECT_TRUE(problems_of({.no_decay = {"*.bias"}}).empty());
}

// Of some_parameters(): the first one is Muon's.
const std::vector<int64_t> kMatrices = {1, 0, 0};

FlatParameters some_parameters(std::vector<bool> without_decay = {}) {
  return FlatParameters(
      {at::full({3, 5}, 2.0).set_requires_grad(true), at::full({7}, 1.0).set_requires_grad(true),
       at::full({4}, 3.0).set_requires_grad(true)},
      std::move(without_decay));
}

std::vector<at::Tensor> after_steps(const OptimizerConfig& config, std::vector<bool> without_decay) {
  const FlatParameters flat = some_parameters(std::move(without_decay));
  Optimizer optimizer(config, flat, kMatrices);
  for (int step = 0; step < 3; ++step) {
    for (const auto& view : flat.views(flat.gradients()))
      view.copy_(at::sin(at::arange(view.numel()) * 0.3 + step).view(view.sizes()));
    optimizer.step(flat, 0.1, 0.5, {}, 0);
  }
  EXPECT_EQ(optimizer.steps(), 3);
  return flat.views(flat.values());
}

class EachOptimizer : public ::testing::TestWithParam<OptimizerName> {};
INSTANTIATE_TEST_SUITE_P(Names, EachOptimizer,
                         ::testing::Values(OptimizerName::kAdamW, OptimizerName::kCame, OptimizerName::kMuon),
                         [](const auto& info) { return word_of(info.param); });

TEST_P(EachOptimizer, DecayIsAMatterOfTheParameter) {
  const OptimizerConfig some{.name = GetParam(), .weight_decay = 0.5},
      none{.name = GetParam(), .weight_decay = 0};
  const auto with = after_steps(some, {}), without = after_steps(none, {}),
             mixed = after_steps(some, {false, true, false}),
             all_without = after_steps(some, {true, true, true});
  for (size_t i = 0; i < with.size(); ++i) {
    EXPECT_FALSE(at::equal(with[i], without[i]));
    EXPECT_TRUE(at::equal(mixed[i], i == 1 ? without[i] : with[i])) << i;
    EXPECT_TRUE(at::equal(all_without[i], without[i])) << i;
  }
}

TEST_P(EachOptimizer, AllOfTheStateIsNamedAndLive) {
  const OptimizerConfig config{.name = GetParam()};
  const FlatParameters flat = some_parameters(), copy = some_parameters();
  Optimizer optimizer(config, flat, kMatrices), other(config, copy, kMatrices);
  const auto step = [](Optimizer& stepped, const FlatParameters& parameters, double gradient) {
    for (const auto& view : parameters.views(parameters.gradients()))
      view.copy_(at::cos(at::arange(view.numel()) * gradient).view(view.sizes()));
    stepped.step(parameters, 0.1, 1.0, {}, 0);
  };
  step(optimizer, flat, 0.5);
  copy.values().copy_(flat.values());
  other.steps() = optimizer.steps();
  const auto from = optimizer.state(flat), to = other.state(copy);
  ASSERT_EQ(from.size(), to.size());
  for (size_t i = 0; i < from.size(); ++i) {
    EXPECT_EQ(from[i].key, to[i].key);
    EXPECT_EQ(from[i].parameter, to[i].parameter);
    to[i].tensor.copy_(from[i].tensor);
  }
  step(optimizer, flat, 0.9);
  step(other, copy, 0.9);
  EXPECT_TRUE(at::equal(flat.values(), copy.values()));
}

TEST(Optimizer, TheKeysOfItsStateAreThoseOfTheReference) {
  const FlatParameters flat = some_parameters();
  const auto keys = [&](OptimizerName name) {
    std::set<std::string> result;
    for (const auto& tensor : Optimizer({.name = name}, flat, kMatrices).state(flat))
      result.insert(tensor.key);
    return result;
  };
  EXPECT_THAT(keys(OptimizerName::kMuon), UnorderedElementsAre("exp_avg", "exp_avg_sq"));
  EXPECT_EQ(Optimizer({.name = OptimizerName::kMuon}, flat, kMatrices).state(flat).size(), 5u);
  EXPECT_THAT(keys(OptimizerName::kAdamW), UnorderedElementsAre("exp_avg", "exp_avg_sq"));
  EXPECT_THAT(keys(OptimizerName::kCame),
              UnorderedElementsAre("exp_avg", "exp_avg_sq", "exp_avg_sq_row", "exp_avg_sq_col",
                                   "exp_avg_res_row", "exp_avg_res_col"));
}

TEST(Optimizer, AnUnknownNameListsTheKnownOnes) {
  try {
    enum_of_word<OptimizerName>("adam", "optimizer");
    FAIL() << "no error";
  } catch (const UserError& error) {
    EXPECT_THAT(error.what(), HasSubstr("'adam'; known are adamw, came, muon. Did you mean 'adamw'?"));
  }
}

}  // namespace
}  // namespace pixart::optim
