// Curves as SVG for both themes: over the steps, with their values in a table, or over ranks.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "series.h"

namespace pixart::report {

struct Line {
  std::string label;
  Series points;
  std::string style;      // class in the page's CSS: series-0 ... series-5, bin-0 ... bin-7
  bool is_faint = false;  // in the background, thin; not in the legend
};

struct Band {
  double x0 = 0, x1 = 0, y0 = 0, y1 = 0;
};

struct Chart {
  std::string title;
  std::string unit = {};  // "img/s"
  std::vector<Line> lines = {};
  bool wants_log = false;           // if all values are positive and differ enough
  bool from_zero = false;           // if the axis is linear
  std::optional<double> mark = {};  // the value of a dotted line
  std::string mark_label = {};
  std::vector<Band> bands = {};  // in the background, limited to the range of the lines
  std::string band_label = {};
  bool is_large = false;  // over the whole page; drawn a second time for narrow screens
  // "noun": x is its rank, and both axes are logarithmic, from 1. The points are drawn as they are.
  std::string rank_of = {};
};

// Empty if no line has a finite value.
std::string chart_html(const Chart& chart);

}  // namespace pixart::report
