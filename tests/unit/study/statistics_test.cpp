#include "statistics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace pixart::study {
namespace {

// The example of Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011): four observers, twelve units,
// missing values; alpha is 0.743, 0.815 and 0.849 there.
std::vector<std::vector<double>> published_units() {
  const double none = std::numeric_limits<double>::quiet_NaN();
  const std::vector<std::vector<double>> observers = {{1, 2, 3, 3, 2, 1, 4, 1, 2, none, none, none},
                                                      {1, 2, 3, 3, 2, 2, 4, 1, 2, 5, none, 3},
                                                      {none, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, none},
                                                      {1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, none}};
  std::vector<std::vector<double>> units(12);
  for (const auto& observer : observers)
    for (size_t u = 0; u < units.size(); ++u)
      if (!std::isnan(observer[u])) units[u].push_back(observer[u]);
  return units;
}

TEST(Krippendorff, EqualsThePublishedExample) {
  EXPECT_NEAR(krippendorff_alpha(published_units(), Metric::kNominal).value(), 0.743, 5e-4);
  EXPECT_NEAR(krippendorff_alpha(published_units(), Metric::kOrdinal).value(), 0.815, 5e-4);
  EXPECT_NEAR(krippendorff_alpha(published_units(), Metric::kInterval).value(), 0.849, 5e-4);
}

TEST(Krippendorff, OfPerfectAgreementIsOne) {
  EXPECT_DOUBLE_EQ(krippendorff_alpha({{1, 1}, {2, 2}, {1, 1, 1}}, Metric::kNominal).value(), 1);
}

// By hand: 4 values, two of each; observed disagreement 1, expected 2 * 2 * 2 / (4 * 3) = 2 / 3.
TEST(Krippendorff, OfOppositeAnswersIsNegative) {
  EXPECT_NEAR(krippendorff_alpha({{0, 1}, {1, 0}}, Metric::kNominal).value(), 1 - 1 / (2.0 / 3), 1e-12);
}

TEST(Krippendorff, NeedsTwoAnswersAndTwoValues) {
  EXPECT_FALSE(krippendorff_alpha({{1}, {2}, {}}, Metric::kNominal).has_value());
  EXPECT_FALSE(krippendorff_alpha({{1, 1}, {1, 1}}, Metric::kOrdinal).has_value());
}

// With two models the strengths differ by the logarithm of the odds; the virtual games change that by little.
TEST(BradleyTerry, OfTwoModelsAreTheOdds) {
  Games games(2);
  games.at(0, 1) = 3000, games.at(1, 0) = 1000;
  const auto strengths = bradley_terry(games);
  EXPECT_NEAR(strengths[0] - strengths[1], std::log(3), 1e-3);
  EXPECT_NEAR(strengths[0] + strengths[1], 0, 1e-12);
}

// Expected wins of known strengths give these strengths back.
TEST(BradleyTerry, ReturnsWhatMadeTheGames) {
  const std::vector<double> truth = {0.9, 0.1, -0.2, -0.8};
  Games games(truth.size());
  for (size_t i = 0; i < truth.size(); ++i)
    for (size_t j = 0; j < truth.size(); ++j)
      if (i != j) games.at(i, j) = 1e5 / (1 + std::exp(truth[j] - truth[i]));
  const auto strengths = bradley_terry(games);
  for (size_t i = 0; i < truth.size(); ++i) EXPECT_NEAR(strengths[i], truth[i], 1e-4);
}

TEST(BradleyTerry, IsFiniteWhereAModelWonEverything) {
  Games games(3);
  games.at(0, 1) = games.at(0, 2) = 10, games.at(1, 2) = games.at(2, 1) = 5;
  const auto strengths = bradley_terry(games);
  EXPECT_GT(strengths[0], 3);
  EXPECT_LT(strengths[0], 20);
  EXPECT_NEAR(strengths[1], strengths[2], 1e-6);
}

TEST(BinomialTail, IsThatOfCoins) {
  EXPECT_NEAR(binomial_tail(8, 8, 0.5), 1.0 / 256, 1e-12);
  EXPECT_NEAR(binomial_tail(8, 7, 0.5), 9.0 / 256, 1e-12);
  EXPECT_NEAR(binomial_tail(8, 0, 0.5), 1, 1e-12);
  EXPECT_NEAR(binomial_tail(2, 1, 0.2), 0.36, 1e-12);
}

TEST(Quantile, IsBetweenValues) {
  EXPECT_DOUBLE_EQ(quantile({3, 1, 2}, 0.5), 2);
  EXPECT_DOUBLE_EQ(quantile({1, 2}, 0.25), 1.25);
  EXPECT_DOUBLE_EQ(quantile({5}, 0.975), 5);
}

}  // namespace
}  // namespace pixart::study
