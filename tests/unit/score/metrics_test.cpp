// Golden kind score_metrics, and what holds of all scores.
#include "metrics.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numeric>

#include "formula_inception.h"
#include "golden.h"
#include "moments.h"

namespace pixart::score {
namespace {

using testing::formula_features;
using testing::golden_cases;

// Rows in batches of different sizes.
Statistics statistics_of(const at::Tensor& rows, int64_t batch = 32) {
  Moments moments;
  for (const auto& part : rows.split(batch)) moments.add(part);
  return moments.statistics();
}

std::vector<int64_t> in_order(int64_t count) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  return order;
}

std::map<std::string, double> scores_of(const at::Tensor& x, const at::Tensor& y,
                                        const nlohmann::json& config) {
  std::map<std::string, double> scores = {{"fid", frechet_distance(statistics_of(x), statistics_of(y))}};
  scores["fid_of_pytorch_fid"] = scores["fid"];
  scores["kid"] = kernel_distance_of_all(x, y);
  const auto both = precision_recall(x, y, config.at("neighbours"));
  scores["precision"] = both.precision;
  scores["recall"] = both.recall;
  InceptionScore classes(in_order(x.size(0)), config.at("splits"));
  for (const auto& batch : (4 * x).split(17)) classes.add(batch);
  scores["inception_score"] = classes.score().mean;
  scores["inception_score_deviation"] = classes.score().deviation;
  return scores;
}

TEST(Golden, ScoreMetrics) {
  for (const auto& c : golden_cases("score_metrics")) {
    SCOPED_TRACE(c.name);
    const auto& config = c.config();
    const int64_t count = config.at("count"), size = config.at("size");
    const auto x = formula_features("images", count, size);
    const auto y = formula_features("reference", count, size, config.at("gain"), config.at("shift"));
    const auto got = scores_of(x, y, config);
    const double rtol = c.json.at("tolerance").at("rtol");
    for (const auto& [name, value] : c.json.at("values").items()) {
      const double want = value.get<double>();
      EXPECT_NEAR(got.at(name), want, rtol * std::abs(want)) << name;
    }
  }
}

TEST(Moments, DoNotDependOnTheBatches) {
  const auto rows = formula_features("rows", 101, 24);
  const auto whole = statistics_of(rows, 101), parts = statistics_of(rows, 7);
  const at::Tensor all = rows.to(at::kDouble), deviations = all - all.mean(0);
  EXPECT_TRUE(at::allclose(whole.covariance, at::matmul(deviations.t(), deviations) / 100, 1e-12, 1e-15));
  EXPECT_TRUE(at::allclose(parts.covariance, whole.covariance, 1e-12, 1e-15));
  EXPECT_TRUE(at::allclose(parts.mean, all.mean(0), 1e-13, 0));
  EXPECT_EQ(parts.count, 101);
}

TEST(FrechetDistance, IsZeroOfTheSameAndSymmetric) {
  const auto x = statistics_of(formula_features("x", 20, 60)),
             y = statistics_of(formula_features("y", 30, 60, 1.1));
  EXPECT_NEAR(frechet_distance(x, x), 0, 1e-6);
  const double distance = frechet_distance(x, y);
  EXPECT_GT(distance, 0.1);
  EXPECT_NEAR(frechet_distance(y, x), distance, 1e-7 * distance);
}

// It would be printed as -0.000000.
TEST(FrechetDistance, IsNeverNegative) {
  for (int64_t count = 2; count < 40; ++count) {
    const auto x = statistics_of(formula_features("x" + std::to_string(count), count, 24));
    EXPECT_FALSE(std::signbit(frechet_distance(x, x))) << count;
  }
  auto damaged = statistics_of(formula_features("x", 20, 24));
  damaged.mean[3] = NAN;
  EXPECT_TRUE(std::isnan(frechet_distance(damaged, damaged))) << "not the distance of equal sets";
}

TEST(KernelDistance, OfSubsetsIsThatOfAllOnAverage) {
  const auto x = formula_features("x", 200, 32), y = formula_features("y", 160, 32, 1.2);
  const KidOptions options{.subsets = 60, .subset_size = 50, .seed = 4};
  const auto kid = kernel_distance(x, y, options);
  const double all = kernel_distance_of_all(x, y);
  EXPECT_NEAR(kid.mean, all, 4 * kid.deviation / std::sqrt(60.0));
  EXPECT_GT(kid.deviation, 0);
  EXPECT_EQ(kernel_distance(x, y, options).mean, kid.mean);
  EXPECT_NE(kernel_distance(x, y, {.subsets = 60, .subset_size = 50, .seed = 5}).mean, kid.mean);
}

// Subsets that are as large as the sets are the sets.
TEST(KernelDistance, UsesWholeSmallSets) {
  const auto x = formula_features("x", 40, 16), y = formula_features("y", 40, 16, 1.2);
  const auto kid = kernel_distance(x, y, {.subsets = 3, .subset_size = 1000, .seed = 1});
  EXPECT_NEAR(kid.mean, kernel_distance_of_all(x, y), 1e-9);
  EXPECT_NEAR(kid.deviation, 0, 1e-9);
}

TEST(PrecisionRecall, TellsSetsApart) {
  const auto x = formula_features("x", 60, 16), far = x + 100;
  const auto same = precision_recall(x, x.clone(), 3), apart = precision_recall(x, far, 3);
  EXPECT_EQ(same.precision, 1);
  EXPECT_EQ(same.recall, 1);
  EXPECT_EQ(apart.precision, 0);
  EXPECT_EQ(apart.recall, 0);
}

// The shares are those of all distances at once, however the rows are divided.
TEST(PrecisionRecall, OfManyBlocksIsThatOfSingleRows) {
  constexpr int64_t kMany = 4500, kNeighbours = 3;
  ASSERT_LT(rows_in_block(kMany), 2048);  // three blocks, the last one smaller
  const auto x = formula_features("x", kMany, 3).to(at::kDouble), y = formula_features("y", 700, 3, 1.1, 0.2);
  const auto others = y.to(at::kDouble);
  const auto radius_of = [&](const at::Tensor& rows, int64_t i) {
    return std::get<0>(at::kthvalue((rows - rows[i]).square().sum(1), kNeighbours + 1, 0)).item<double>();
  };
  at::Tensor is_inside = at::zeros({kMany}, at::kBool);
  for (int64_t i = 0; i < others.size(0); ++i)
    is_inside.logical_or_((x - others[i]).square().sum(1) <= radius_of(others, i) * (1 + 1e-9));
  at::Tensor is_reached = at::zeros({others.size(0)}, at::kBool);
  for (int64_t i = 0; i < kMany; ++i)
    is_reached.logical_or_((others - x[i]).square().sum(1) <= radius_of(x, i) * (1 + 1e-9));
  const auto both = precision_recall(x, y, kNeighbours);
  EXPECT_GT(both.precision, 0.05);
  EXPECT_LT(both.precision, 1);
  EXPECT_NEAR(both.precision, is_inside.sum().item<double>() / double(kMany), 1.5 / double(kMany));
  EXPECT_NEAR(both.recall, is_reached.sum().item<double>() / double(others.size(0)), 1.5 / 700);
  int blocks = 0;
  const at::Tensor radii = squared_radii(x, kNeighbours, [&blocks] { ++blocks; });
  EXPECT_EQ(blocks, 2) << "between three blocks";
  const auto known = precision_recall(y, x, kNeighbours, radii),
             computed = precision_recall(y, x, kNeighbours);
  EXPECT_EQ(known.precision, computed.precision);
  EXPECT_EQ(known.recall, computed.recall);
  EXPECT_EQ(precision_recall(y, x, kNeighbours, at::full_like(radii, -1)).precision, 0)
      << "no point is inside the given radii";
}

TEST(PrecisionRecall, BlocksAreBoundedByBytes) {
  EXPECT_EQ(rows_in_block(1), 2048);
  EXPECT_EQ(rows_in_block(4096), 2048);
  EXPECT_EQ(rows_in_block(30000), (int64_t{64} << 20) / 240000);
  EXPECT_EQ(rows_in_block(int64_t{1} << 40), 1);
}

TEST(InceptionScore, IsTheNumberOfClassesOfSureImages) {
  InceptionScore score(in_order(40), 2);
  score.add(at::eye(4).repeat({10, 1}) * 100);
  EXPECT_NEAR(score.score().mean, 4, 1e-9);
  InceptionScore by_part({0, 2, 1, 3}, 2);  // parts of one class each
  by_part.add(at::eye(2).repeat({2, 1}) * 100);
  EXPECT_NEAR(by_part.score().mean, 1, 1e-9);
}

}  // namespace
}  // namespace pixart::score
