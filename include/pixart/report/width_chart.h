// A chart of values over the width of a model, both in logarithms.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pixart::report {

struct WidthCurve {
  std::string label;
  std::vector<double> values = {};  // one for each width, positive; others are gaps
};

struct WidthChart {
  std::string title, value_name;  // of the chart and of the vertical axis
  std::vector<int64_t> widths = {};
  std::vector<WidthCurve> curves = {};
};

// A whole SVG file, which no style sheet or script needs.
std::string width_chart_svg(const WidthChart& chart);

}  // namespace pixart::report
