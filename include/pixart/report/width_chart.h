// A chart of values over the width of a model, both in logarithms.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
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

// Before the work for a chart and its table: throws UserError if `file` is a folder, or a file that lacks one of the texts
// that each `kind` ("chart", "table") of the command has. Such a file is not replaced.
void check_chart_file(const std::filesystem::path& file, const std::vector<std::string_view>& marks,
                      std::string_view command, std::string_view kind);

}  // namespace pixart::report
