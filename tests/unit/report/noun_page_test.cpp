#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>

#include "pixart/report/noun_report.h"

namespace pixart::report {
namespace {
using ::testing::Contains;
using ::testing::DoubleNear;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Pair;

data::NounStatistics row(const std::string& kind) {
  return {.kind = kind,
          .images = 10,
          .captions = 10,
          .words = 100,
          .distinct = 3,
          .valid = 1,
          .total = 1236,
          .by_count = {{"dog", 1234}, {"ice cream", 1}, {"x<y", 1}}};
}

data::NounStatistics falling(int64_t distinct, int64_t last_count = 11) {
  data::NounStatistics row{.kind = "caption", .distinct = distinct};
  for (int64_t rank = 1; rank <= distinct; ++rank)
    row.by_count.emplace_back("noun", 1 + (last_count - 1) * distinct / rank);
  return row;
}

// The points of a line in the first image, which is 940 wide and 300 high.
std::vector<std::pair<double, double>> points_of(const std::string& page, int series) {
  const std::string start = "<polyline class=\"series-" + std::to_string(series) + "\" points=\"";
  const size_t at = page.find(start);
  if (at == std::string::npos) return {};
  std::istringstream stream(page.substr(at + start.size(), page.find("\"/>", at) - at - start.size()));
  std::vector<std::pair<double, double>> points;
  double x = 0, y = 0;
  for (char comma = 0; stream >> x >> comma >> y;) points.emplace_back(x, y);
  return points;
}

int64_t occurrences(const std::string& text, const std::string& part) {
  int64_t result = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++result;
  return result;
}

TEST(NounPage, ShowsTableChangesNotesAndNouns) {
  const std::string page =
      noun_page({row("short"), row("long")}, {.title = "My captions", .notes = {"So & so."}});
  for (const char* part :
       {"<h1>My captions</h1>", "paper: SAM-LLaVA", "123.6", "short → long: nouns per image", "So &amp; so.",
        "<span>dog</span>", "<span>1,234</span>", "valid: more than 10 times", "Content-Security-Policy"})
    EXPECT_THAT(page, HasSubstr(part));
}

TEST(NounPage, EscapesWhatComesFromData) {
  const std::string page = noun_page({row("<script>"), row("a\"b")}, {.title = "<b>", .notes = {"<i>"}});
  for (const char* raw : {"<script", "<b>", "a\"b", "x<y"}) EXPECT_THAT(page, Not(HasSubstr(raw)));
  EXPECT_THAT(page, HasSubstr("<h3>&lt;script&gt;</h3>"));
}

TEST(NounPage, ClosesEachElement) {
  const std::string page = noun_page({row("short"), row("long")}, {.title = "t", .notes = {"n"}});
  for (const std::string name :
       {"table", "tr", "td", "ul", "ol", "li", "div", "section", "figure", "svg", "p", "span"})
    EXPECT_EQ(occurrences(page, "<" + name + " ") + occurrences(page, "<" + name + ">"),
              occurrences(page, "</" + name + ">"))
        << name;
}

TEST(NounPage, ListsAsManyNounsAsAsked) {
  EXPECT_EQ(occurrences(noun_page({row("a")}, {.title = "t", .top = 2}), "class=\"bar\""), 2);
  EXPECT_THAT(noun_page({row("a")}, {.title = "t", .top = 0}), Not(HasSubstr("Most frequent")));
}

TEST(NounPage, OfCaptionsWithoutNouns) {
  data::NounStatistics empty{.kind = "caption"};
  const std::string page = noun_page({empty}, {.title = "t"});
  EXPECT_THAT(page, Not(HasSubstr("<svg")));
  EXPECT_THAT(page, Not(HasSubstr("nan")));
}

TEST(NounPage, CurveLiesInsideTheImageAndFalls) {
  const std::string page = noun_page({falling(500), falling(30)}, {.title = "t"});
  EXPECT_THAT(page, HasSubstr("viewBox=\"0 0 940 300\""));
  EXPECT_THAT(page, HasSubstr("Occurrences over the rank of the noun, both axes logarithmic"));
  for (int series : {0, 1}) {
    const auto points = points_of(page, series);
    ASSERT_GE(points.size(), 20u) << series;
    for (size_t i = 0; i < points.size(); ++i) {
      EXPECT_GE(points[i].first, 0);
      EXPECT_LE(points[i].first, 940);
      EXPECT_GE(points[i].second, 0);
      EXPECT_LE(points[i].second, 300);
      if (i > 0) {
        EXPECT_GT(points[i].first, points[i - 1].first);
        EXPECT_GE(points[i].second, points[i - 1].second) << "less frequent is further down";
      }
    }
  }
}

TEST(NounPage, CurveOfAMillionNounsHasAFewHundredPoints) {
  const auto points = points_of(noun_page({falling(1'000'000)}, {.title = "t"}), 0);
  EXPECT_LE(points.size(), 400u);
  EXPECT_GE(points.size(), 200u);
}

TEST(NounPage, CurveHasTheLastRankOfEachRareCount) {
  constexpr int64_t kDistinct = 1'000'000;
  const auto points = points_of(noun_page({falling(kDistinct, 2)}, {.title = "t"}), 0);
  ASSERT_FALSE(points.empty());
  const auto [left, top] = points.front();
  const auto [right, bottom] = points.back();
  for (int64_t times = 2; times <= data::kValidAbove; ++times) {
    const double last_rank = std::floor(double(kDistinct) / double(times - 1));
    const double x = left + (right - left) * std::log(last_rank) / std::log(kDistinct);
    const double y = bottom - (bottom - top) * std::log(times / 2.0) / std::log((kDistinct + 1) / 2.0);
    EXPECT_THAT(points, Contains(Pair(DoubleNear(x, 0.15), DoubleNear(y, 0.15)))) << times;
  }
}

TEST(NounPage, CurvesHaveTheirColoursInTurn) {
  const std::string page = noun_page(std::vector<data::NounStatistics>(8, falling(20)), {.title = "t"});
  EXPECT_EQ(occurrences(page, "<polyline class=\"series-0\""), 4)
      << "two, in the wide and in the narrow image";
  EXPECT_EQ(occurrences(page, "<polyline class=\"series-5\""), 2);
  EXPECT_THAT(page, Not(HasSubstr("series-6")));
}

TEST(NounPage, CurveOfNothing) {
  const std::string nothing = noun_page({}, {.title = "t"});
  for (const char* part : {"<svg", "How often", "nan", "inf"}) EXPECT_THAT(nothing, Not(HasSubstr(part)));
  const std::string partly = noun_page({{.kind = "empty"}, falling(20)}, {.title = "t"});
  EXPECT_TRUE(points_of(partly, 0).empty());
  EXPECT_EQ(points_of(partly, 1).size(), 20u);
  for (const char* part : {"nan", "inf"}) EXPECT_THAT(partly, Not(HasSubstr(part)));
}

}  // namespace
}  // namespace pixart::report
