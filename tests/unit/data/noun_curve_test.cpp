#include "noun_curve.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace pixart::data {
namespace {
using ::testing::HasSubstr;
using ::testing::Not;

NounStatistics falling(int64_t distinct) {
  NounStatistics row{.kind = "caption", .distinct = distinct};
  for (int64_t rank = 1; rank <= distinct; ++rank)
    row.by_count.emplace_back("noun", 1 + 10 * distinct / rank);
  return row;
}

std::vector<std::pair<double, double>> points_of(const std::string& svg, int series) {
  const std::string start = "<polyline class=\"series-" + std::to_string(series) + "\" points=\"";
  const size_t at = svg.find(start);
  if (at == std::string::npos) return {};
  std::istringstream stream(svg.substr(at + start.size(), svg.find("\"/>", at) - at - start.size()));
  std::vector<std::pair<double, double>> points;
  double x = 0, y = 0;
  for (char comma = 0; stream >> x >> comma >> y;) points.emplace_back(x, y);
  return points;
}

TEST(NounCurve, LiesInsideThePictureAndFalls) {
  const std::string svg = noun_curve_svg({falling(500), falling(30)}, 900, 400);
  for (int series : {0, 1}) {
    const auto points = points_of(svg, series);
    ASSERT_GE(points.size(), 20u) << series;
    for (size_t i = 0; i < points.size(); ++i) {
      EXPECT_GE(points[i].first, 0);
      EXPECT_LE(points[i].first, 900);
      EXPECT_GE(points[i].second, 0);
      EXPECT_LE(points[i].second, 400);
      if (i > 0) {
        EXPECT_GT(points[i].first, points[i - 1].first);
        EXPECT_GE(points[i].second, points[i - 1].second) << "less frequent is further down";
      }
    }
  }
}

TEST(NounCurve, AMillionNounsAreAFewHundredPoints) {
  const auto points = points_of(noun_curve_svg({falling(1'000'000)}, 900, 400), 0);
  EXPECT_LE(points.size(), 400u);
  EXPECT_GE(points.size(), 200u);
}

TEST(NounCurve, ColoursComeInTurn) {
  const std::string svg = noun_curve_svg(std::vector<NounStatistics>(8, falling(20)), 900, 400);
  EXPECT_THAT(svg, HasSubstr("series-5"));
  EXPECT_THAT(svg, Not(HasSubstr("series-6")));
}

TEST(NounCurve, OfNothing) {
  const std::string svg = noun_curve_svg({}, 380, 330);
  EXPECT_THAT(svg, HasSubstr("class=\"mark\""));
  EXPECT_THAT(svg, Not(HasSubstr("nan")));
  EXPECT_THAT(svg, Not(HasSubstr("inf")));
}

}  // namespace
}  // namespace pixart::data
