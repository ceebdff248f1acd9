#include "pixart/report/width_chart.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace pixart::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(WidthChart, DrawsEachCurveAndNamesIt) {
  const std::string svg = width_chart_svg({.title = "a <title>",
                                           .value_name = "change",
                                           .widths = {64, 128, 256},
                                           .curves = {{"flat", {2, 2, 2}}, {"rising", {1, 2, 4}}}});
  EXPECT_THAT(svg, AllOf(HasSubstr("a &lt;title&gt;"), HasSubstr(">flat<"), HasSubstr(">rising<"),
                         HasSubstr(">256<")));
  EXPECT_TRUE(svg.starts_with("<svg xmlns"));
  EXPECT_THAT(svg, HasSubstr("</svg>"));
  // Twice the width is the same distance in logarithms, and so is twice the value.
  EXPECT_THAT(svg, HasSubstr("points=\"70.0,"));
  EXPECT_THAT(svg, HasSubstr("315.0,"));
  EXPECT_THAT(svg, HasSubstr("560.0,"));
}

TEST(WidthChart, ValuesThatHaveNoLogarithmAreGaps) {
  const std::string svg = width_chart_svg({.title = "t",
                                           .value_name = "v",
                                           .widths = {64, 128},
                                           .curves = {{"a", {0, std::nan("")}}, {"b", {1, 2}}}});
  EXPECT_THAT(svg, AllOf(Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
  EXPECT_THAT(width_chart_svg({}), Not(HasSubstr("nan")));
}

}  // namespace
}  // namespace pixart::report
