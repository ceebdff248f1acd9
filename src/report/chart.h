// Curves over the steps, as SVG in both themes, with their numbers in a table.
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
  bool wants_log = false;           // where all values are positive and differ enough
  bool from_zero = false;           // where the axis is linear
  std::optional<double> mark = {};  // a dotted level
  std::string mark_label = {};
  std::vector<Band> bands = {};  // behind the lines; begin where these reach, and end there
  std::string band_label = {};
  bool is_large = false;  // over the whole page, and drawn again for narrow screens
};

// Nothing where no line has a finite value.
std::string chart_html(const Chart& chart);

}  // namespace pixart::report
