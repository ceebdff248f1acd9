#include "pixart/optim/power_ema.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "pixart/base/error.h"

namespace pixart::optim {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// The paper's pairs of power and length: 6.94 and 0.10, 16.97 and 0.05.
TEST(PowerEma, LengthsBelongToPowers) {
  EXPECT_NEAR(power_of_length(0.1), 6.94, 0.005);
  EXPECT_NEAR(power_of_length(0.05), 16.97, 0.005);
}

TEST(PowerEma, TheFirstUpdateReplacesAndLaterOnesFollowTheProfile) {
  const double power = power_of_length(0.1);
  EXPECT_EQ(power_decay(power, 1), 0);
  double share = 1;  // of the weights of update 5 after 20 updates
  for (int t = 5; t <= 20; ++t) share *= t == 5 ? 1 - power_decay(power, t) : power_decay(power, t);
  EXPECT_NEAR(share, (std::pow(5, power + 1) - std::pow(4, power + 1)) / std::pow(20, power + 1), 1e-12);
}

// Weights that wander; EMAs of two lengths are stored now and then, and others followed for comparison.
class Wandering {
 public:
  static constexpr int kUpdates = 1000, kEvery = 50, kWeights = 20;
  explicit Wandering(const std::vector<double>& lengths) {
    for (const double length : lengths) powers_.push_back(power_of_length(length));
    emas_.assign(powers_.size(), std::vector<double>(kWeights));
    for (int t = 1; t <= kUpdates; ++t) {
      for (size_t e = 0; e < powers_.size(); ++e)
        for (int w = 0; w < kWeights; ++w) {
          const double decay = power_decay(powers_[e], t);
          emas_[e][size_t(w)] = decay * emas_[e][size_t(w)] + (1 - decay) * weight(w, t);
        }
      if (t % kEvery != 0) continue;
      for (size_t e = 0; e < 2; ++e) {
        profiles_.push_back({powers_[e], t});
        snapshots_.emplace_back(emas_[e].begin(), emas_[e].end());  // stored in float32
      }
    }
  }
  // The largest difference to the followed EMA, as a share of the largest weight.
  double error(size_t ema) const {
    const auto factors = mixture(profiles_, {powers_[ema], kUpdates});
    double worst = 0, largest = 0;
    for (size_t w = 0; w < size_t(kWeights); ++w) {
      double sum = 0;
      for (size_t i = 0; i < factors.size(); ++i) sum += factors[i] * double(snapshots_[i][w]);
      worst = std::max(worst, std::abs(sum - emas_[ema][w]));
      largest = std::max(largest, std::abs(emas_[ema][w]));
    }
    return worst / largest;
  }

 private:
  // Converges, with waves of several lengths: training that goes on.
  static double weight(int w, int t) {
    const double s = double(t) / kUpdates;
    return std::cos(w) * (1 - std::exp(-3 * s)) + 0.1 * std::sin(40 * s + w) +
           0.05 * std::sin(170 * s + 2 * w);
  }
  std::vector<double> powers_;
  std::vector<std::vector<double>> emas_;
  std::vector<PowerProfile> profiles_;
  std::vector<std::vector<float>> snapshots_;
};

TEST(PowerEma, AnyLengthIsMadeFromTwoStoredOnesWithinAThousandth) {
  const std::vector<double> lengths = {0.05, 0.1, 0.04, 0.07, 0.12, 0.15, 0.2};
  const Wandering training(lengths);
  for (size_t i = 0; i < lengths.size(); ++i) EXPECT_LT(training.error(i), 1e-3) << lengths[i];
  EXPECT_LT(training.error(0), 1e-6) << "a stored one is itself";
}

TEST(PowerEma, FactorsAddUpToOneAlsoFromOneFile) {
  const auto factors =
      mixture({{power_of_length(0.05), 7}, {power_of_length(0.1), 7}}, {power_of_length(0.2), 7});
  EXPECT_NEAR(factors[0] + factors[1], 1, 1e-12);
}

TEST(PowerEma, WhatIsStoredIsReadBackAndChecked) {
  const auto back = parse_stored_emas(text_of({.updates = 300, .lengths = {0.05, 0.1}}), "it");
  EXPECT_EQ(back.updates, 300);
  EXPECT_THAT(back.lengths, ElementsAre(0.05, 0.1));
  for (const char* text :
       {"", "[]", "{}", R"({"updates": 0, "lengths": [0.1]})", R"({"updates": 5, "lengths": []})",
        R"({"updates": 5, "lengths": [0.5]})", R"({"updates": -5, "lengths": [0.1]})",
        R"({"updates": 5, "lengths": [0.1, 0.05, 0.1]})", R"({"updates": 5, "lengths": ["a"]})"}) {
    try {
      parse_stored_emas(text, "it");
      ADD_FAILURE() << text;
    } catch (const UserError& error) {
      EXPECT_THAT(error.what(), HasSubstr("it: pixart.power_ema"));
    }
  }
}

TEST(PowerEma, TwoLengthsAreNeeded) {
  for (const auto& lengths : {std::vector<double>{0.1}, {0.1, 0.1}, {0.1, 0.2, 0.05}}) {
    std::vector<std::string> problems;
    PowerEmaConfig{.every = 1, .lengths = lengths}.validate(problems);
    EXPECT_THAT(problems, ElementsAre(HasSubstr("two different numbers")));
  }
}

}  // namespace
}  // namespace pixart::optim
