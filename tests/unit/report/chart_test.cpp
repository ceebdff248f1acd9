#include "chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pixart::report {
namespace {
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Series line(int size, double factor) {
  Series series;
  for (int i = 1; i <= size; ++i) series.push_back({double(i), factor * i});
  return series;
}

int count(const std::string& text, const std::string& part) {
  int found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

TEST(Chart, HasCurvesLegendAndNumbers) {
  const std::string html =
      chart_html({.title = "Loss <1>",
                  .unit = "nats",
                  .lines = {{"a & b", line(100, 1), "series-0"}, {"c", line(100, 2), "series-1"}}});
  EXPECT_THAT(html,
              AllOf(HasSubstr("Loss &lt;1&gt;"), HasSubstr("(nats)"), HasSubstr("a &amp; b"),
                    HasSubstr("<polyline class=\"series-0\""), HasSubstr("<polyline class=\"series-1\""),
                    HasSubstr("<details><summary>Values"), Not(HasSubstr("<1>"))));
  EXPECT_EQ(count(html, "<tr>"), 21);  // head and twenty rows
  EXPECT_THAT(html, AllOf(HasSubstr("<th scope=\"row\">1</th>"), HasSubstr("<th scope=\"row\">100</th>")));
}

TEST(Chart, LongRunsStaySmall) {
  const std::string html = chart_html({.title = "x", .lines = {{"x", line(1000000, 1), "series-0"}}});
  EXPECT_LT(html.size(), 40000u);
}

TEST(Chart, GapsSplitTheCurveAndAreCounted) {
  Series series = line(9, 1);
  series[4].y = std::nan("");
  const std::string html = chart_html({.title = "x", .lines = {{"x", series, "series-0"}}});
  EXPECT_EQ(count(html, "<polyline"), 2);
  EXPECT_THAT(html, AllOf(HasSubstr("1 value was not finite"), Not(HasSubstr("nan"))));
}

TEST(Chart, LogarithmicWhereItShowsMore) {
  const auto is_log = [](const Series& series) {
    return chart_html({.title = "x", .lines = {{"x", series, "series-0"}}, .wants_log = true})
               .find("logarithmic") != std::string::npos;
  };
  EXPECT_TRUE(is_log(line(100, 1)));
  EXPECT_FALSE(is_log({{0, 1}, {1, 1.5}}));  // too near to one another
  EXPECT_FALSE(is_log({{0, 0}, {1, 100}}));  // zero has no logarithm
  EXPECT_FALSE(is_log({{0, -1}, {1, 100}}));
}

TEST(Chart, WithoutValuesThereIsNone) {
  EXPECT_EQ(chart_html({.title = "x"}), "");
  EXPECT_EQ(chart_html({.title = "x", .lines = {{"x", {}, "series-0"}}}), "");
  EXPECT_EQ(chart_html({.title = "x", .lines = {{"x", {{1, std::nan("")}}, "series-0"}}}), "");
}

TEST(Chart, OddValuesMakeNoOddNumbers) {
  for (const Series& series :
       {Series{{5, 5}}, Series{{0, 0}}, Series{{1, -3}, {2, -3}}, Series{{1e14, 1e149}},
        Series{{0, -1e149}, {1, 1e149}}, Series{{0, 5e-324}, {1, 1}}})
    for (const bool log : {false, true}) {
      const std::string html = chart_html(
          {.title = "x", .lines = {{"x", series, "series-0"}}, .wants_log = log, .from_zero = log});
      EXPECT_THAT(html, AllOf(HasSubstr("<polyline"), Not(HasSubstr("nan,")), Not(HasSubstr(",nan")),
                              Not(HasSubstr("inf"))));
    }
}

TEST(Chart, MarkIsInTheLegendAndInSight) {
  const std::string html = chart_html({.title = "x",
                                       .lines = {{"x", line(5, 0.1), "series-0"}},
                                       .from_zero = true,
                                       .mark = 1,
                                       .mark_label = "clipped"});
  EXPECT_THAT(html, AllOf(HasSubstr("class=\"mark\""), HasSubstr("clipped"), HasSubstr(">1</text>")));
}

TEST(Chart, BandsAreInTheLegendAndInSightAsFarAsTheLinesReach) {
  const Chart chart{.title = "x",
                    .lines = {{"x", line(50, 0.01), "series-0"}},
                    .bands = {{10, 40, 0.8, 1.0}, {41, 1000, 0.8, 1.0}},
                    .band_label = "usual <b>"};
  const std::string html = chart_html(chart);
  EXPECT_EQ(count(html, "<rect class=\"band\""), 3) << "two, and the legend's";
  EXPECT_THAT(html, AllOf(HasSubstr("usual &lt;b&gt;"), HasSubstr(">1</text>")));
  EXPECT_EQ(count(html, "width=\"-"), 0);
}

TEST(Chart, OverRanksBothAxesAreLogarithmicAndNamed) {
  const std::string html = chart_html(
      {.title = "Count", .lines = {{"x", {{1, 100}, {10, 10}, {100, 1}}, "series-0"}}, .rank_of = "<word>"});
  EXPECT_THAT(html, AllOf(HasSubstr("Count over the rank of the &lt;word&gt;, both axes logarithmic"),
                          HasSubstr("points=\"54.0,10.0 238.0,87.0 422.0,164.0\""),
                          HasSubstr(">rank of the &lt;word&gt;</text>"), Not(HasSubstr("<details>"))));
}

TEST(Chart, OverRanksFewValuesMakeNoOddNumbers) {
  EXPECT_EQ(chart_html({.title = "x", .mark = 10.5, .rank_of = "word"}), "");
  for (const Series& series : {Series{{1, 1}}, Series{{1, 7}, {2, 7}}, Series{{1, 1e149}, {1e14, 1}}}) {
    const std::string html =
        chart_html({.title = "x", .lines = {{"x", series, "series-0"}}, .rank_of = "word"});
    EXPECT_THAT(html, AllOf(HasSubstr("<polyline"), Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
  }
}

}  // namespace
}  // namespace pixart::report
